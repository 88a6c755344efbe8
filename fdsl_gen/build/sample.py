"""One sample: how what the variant gives stands in a shard."""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.archive import content_digest, png
from fdsl_gen.archive.tar import Encoded
from fdsl_gen.recipe.jobs import labels_of
from fdsl_gen.recipe.order import SampleId
from fdsl_gen.recipe.recipe import Recipe
from fdsl_gen.variants.base import Rendered


def is_blank(image: NDArray[np.uint8]) -> bool:
    """Whether all pixels of an image, (H, W) or (H, W, 3), are equal, whatever the background."""
    return bool(np.all(image == image[0, 0]))


def members_of(recipe: Recipe) -> tuple[str, ...]:
    """Endings of the members of every sample, in order."""
    own = {"single": ("cls",), "multi": ("json",), "segmentation": ("mask.png",)}
    members = ("png", *own[recipe.variant.TASK])
    return members if "json" in members or not recipe.metadata else (*members, "json")


def digest(recipe: Recipe, sample: SampleId, rendered: Rendered) -> int:
    """The sample's content digest."""
    labels = labels_of(recipe, sample, rendered)
    return content_digest.sample_digest(sample.key, labels, rendered.image, rendered.mask)


def encode(recipe: Recipe, sample: SampleId, rendered: Rendered) -> Encoded:
    """A sample as it stands in a shard."""
    levels = recipe.variant.image.levels
    white = levels[-1] if levels else 255
    found = {"png": png.encode(rendered.image, recipe.encoding, white)}
    if recipe.variant.TASK == "single":
        found["cls"] = str(labels_of(recipe, sample, rendered)[0]).encode()
    if rendered.mask is not None:
        found["mask.png"] = png.encode(rendered.mask, "gray8")
    members = members_of(recipe)
    if "json" in members:
        found["json"] = _facts(recipe, sample, rendered)
    return Encoded(sample.key, tuple((ending, found[ending]) for ending in members))


def _facts(recipe: Recipe, sample: SampleId, rendered: Rendered) -> bytes:
    facts: dict[str, Any] = {}
    if recipe.variant.TASK == "multi":
        facts["labels"] = rendered.labels
    if recipe.metadata:
        if not recipe.variant.SCENE:
            facts["category"] = sample.category
        facts |= {"instance": sample.instance, "seed": str(recipe.seed), **rendered.parameters}
    return json.dumps(facts, allow_nan=False).encode()
