"""Which samples are pinned, and their digests now."""

from pathlib import Path
from typing import Any

from fdsl_gen import load_recipe
from fdsl_gen.archive.sample import Sample, digest_text
from fdsl_gen.core import recipe_files
from fdsl_gen.recipe.jobs import jobs_of, sample_of
from fdsl_gen.recipe.order import SampleId
from fdsl_gen.recipe.recipe import Recipe
from tests import PHOTO

NAMES = recipe_files.recipe_names(recipe_files.recipe_folder())
DIGESTS = Path(__file__).with_name("digests.json")
PICTURE = Path(__file__).with_name("goldens.png")


NEEDED = {"real-1": {"source": str(PHOTO)}}  # what a recipe does not bring along


# Seconds an image at 512 pixels; at 224, where the paper trains, every kernel does the same.
SMALLER = {name: {"image_size": 224} for name in ("mandelbulb-1k", "mandelbulb-hybrid-21k")}


def golden_recipe(name: str, **overrides: Any) -> Recipe:
    """The recipe as published, with the file it needs if it needs one; at its full size mostly."""
    return load_recipe(name, **(NEEDED.get(name, {}) | SMALLER.get(name, {}) | overrides))


def pinned(recipe: Recipe) -> list[SampleId]:
    """Three samples from the beginning, the middle and the end."""
    if recipe.variant.SCENE:
        return [SampleId(-1, i) for i in (0, recipe.num_images // 2, recipe.num_images - 1)]
    last_category, last = recipe.num_categories - 1, recipe.num_instances - 1
    return [
        SampleId(0, 0),
        SampleId(last_category // 2, last // 2),
        SampleId(last_category, last),
    ]


def golden_samples(recipe: Recipe) -> list[Sample]:
    """The pinned samples, drawn now."""
    samples = pinned(recipe)
    drawn = recipe.variant.render(jobs_of(recipe, samples))
    return [sample_of(recipe, sample, one) for sample, one in zip(samples, drawn, strict=True)]


def golden_digests(recipe: Recipe, samples: list[Sample]) -> dict[str, str]:
    """Digest of each pinned sample, by key; the revision says when they changed last."""
    found = {sample.key: digest_text(sample.digest()) for sample in samples}
    return found | {"revision": str(recipe.variant.REVISION)}
