"""Which samples are pinned, and their digests now."""

from pathlib import Path
from typing import Any

from fdsl_gen import load_recipe
from fdsl_gen.archive.content_digest import as_text
from fdsl_gen.core import recipe_files
from fdsl_gen.recipe.jobs import jobs_of, sample_of
from fdsl_gen.recipe.order import SampleId
from fdsl_gen.recipe.recipe import Recipe
from tests import PHOTO

NAMES = recipe_files.recipe_names(recipe_files.recipe_folder())
DIGESTS = Path(__file__).with_name("digests.json")
PICTURE = Path(__file__).with_name("goldens.png")


NEEDED = {"real-1": {"source": str(PHOTO)}}  # what a recipe does not bring along


def golden_recipe(name: str, **overrides: Any) -> Recipe:
    """The recipe as published, at its full size, with the file it needs if it needs one."""
    return load_recipe(name, **(NEEDED.get(name, {}) | overrides))


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


def golden_digests(recipe: Recipe) -> dict[str, str]:
    """Digest of each pinned sample, by key; the revision says when they changed last."""
    samples = pinned(recipe)
    drawn = recipe.variant.render(jobs_of(recipe, samples))
    found = {
        sample.key: as_text(sample_of(recipe, sample, one).digest())
        for sample, one in zip(samples, drawn, strict=True)
    }
    return found | {"revision": str(recipe.variant.REVISION)}
