"""One sample: what the variant is asked for, what it gives, how that stands in a shard."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from fdsl_gen import content, png
from fdsl_gen.errors import UsageError
from fdsl_gen.layout import SampleId
from fdsl_gen.recipe import Recipe
from fdsl_gen.seeding import Key
from fdsl_gen.shards import Encoded
from fdsl_gen.variants.base import Job, Rendered


def jobs_of(recipe: Recipe, samples: Iterable[SampleId]) -> Iterator[Job]:
    """What the variant is asked to draw for these samples."""
    categories: dict[int, Any] = {}
    for c, i in samples:
        if c not in categories:
            categories[c] = recipe.variant.category(c, Key(recipe.seed, "category", (c,)))
        yield Job(categories[c], i, Key(recipe.seed, "instance", (c, i)))


def render(recipe: Recipe, category: int, instance: int = 0) -> Rendered:
    """Draw one image of a dataset, exactly as it stands in the dataset.

    Args:
        recipe: from :func:`load_recipe`.
        category: 0 <= category; may be beyond the recipe's number of categories.
        instance: 0 <= instance, less than what the variant has.

    Raises:
        UsageError: if there is no such image.
    """
    most = recipe.variant.max_instances
    if category < 0 or instance < 0 or (most is not None and instance >= most):
        raise UsageError(f"{recipe.name} has no image ({category}, {instance})")
    (rendered,) = recipe.variant.render(jobs_of(recipe, [SampleId(category, instance)]))
    return rendered


def label_of(sample: SampleId) -> bytes:
    """Content of the ``.cls`` member."""
    return str(sample.category).encode()


def members_of(recipe: Recipe) -> tuple[str, ...]:
    """Endings of the members of every sample, in order."""
    return ("png", "cls", "json") if recipe.metadata else ("png", "cls")


def encode(recipe: Recipe, sample: SampleId, rendered: Rendered) -> Encoded:
    """A sample as it stands in a shard."""
    levels = recipe.variant.image.levels
    white = levels[-1] if levels else 255
    picture = png.encode(rendered.image, recipe.encoding, white)
    members = [("png", picture), ("cls", label_of(sample))]
    if recipe.metadata:
        facts = {"category": sample.category, "instance": sample.instance, "seed": str(recipe.seed)}
        text = json.dumps(facts | dict(rendered.parameters), allow_nan=False)
        members.append(("json", text.encode()))
    return Encoded(sample.key, tuple(members))


def digest(sample: SampleId, rendered: Rendered) -> int:
    """The sample's content digest."""
    return content.sample_digest(sample.key, label_of(sample), rendered.image, rendered.mask)


def decode(recipe: Recipe, encoded: Encoded) -> Rendered:
    """The image of a sample that stands in a shard of this recipe, as it was rendered.

    Raises:
        ValueError: if its PNG is damaged.
    """
    pixels = png.decode(dict(encoded.members)["png"])
    if recipe.variant.image.channels == 1 and pixels.ndim == 3:
        pixels = pixels[:, :, 0].copy()
    return Rendered(pixels)
