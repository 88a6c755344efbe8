"""The sizes that ``fdsl-gen list`` tells are those of small renders."""

import numpy as np
import pytest

from fdsl_gen.core.recipe_files import recipe_folder, recipe_names
from fdsl_gen.recipe.jobs import jobs_of, json_facts, sample_of
from fdsl_gen.recipe.order import SampleId
from fdsl_gen.recipe.recipe import Recipe, load_recipe

_IMAGES = 24
# Sizes of real-1 are those of its picture; these take long, and were measured by hand:
# 400 kB at 512 pixels.
_LEFT_OUT = {"real-1", "mandelbulb-1k", "mandelbulb-hybrid-21k"}


def _distinct() -> list[str]:
    """Recipes whose images have sizes of their own."""
    found: dict[object, str] = {}
    for name in recipe_names(recipe_folder()):
        recipe = load_recipe(name)
        lines = recipe.num_categories if recipe.variant.KIND == "linedb" else None
        if name not in _LEFT_OUT:
            found.setdefault((recipe.identity, lines), name)
    return list(found.values())


def _some(recipe: Recipe) -> list[SampleId]:
    """Samples from the whole set."""
    if recipe.variant.SCENE:
        return [SampleId(-1, int(i)) for i in np.linspace(0, recipe.num_images - 1, _IMAGES)]
    each = min(recipe.num_instances, 2)
    categories = np.linspace(
        0, recipe.num_categories - 1, min(_IMAGES // each, recipe.num_categories)
    )
    return [
        SampleId(int(c), i * (recipe.num_instances // each))
        for c in categories
        for i in range(each)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", _distinct())
def test_sizes_are_told_within_a_tenth(name):
    """A tenth, and twice the error of so few images."""
    recipe = load_recipe(name)
    samples = _some(recipe)
    found = []
    for sample, drawn in zip(samples, recipe.variant.render(jobs_of(recipe, samples)), strict=True):
        stored = sample_of(recipe, sample, drawn)
        members = recipe.sample_format.encode(stored, json_facts(recipe, sample, drawn)).members
        found.append(sum(512 + len(content) + -len(content) % 512 for _, content in members))
    mean, error = np.mean(found), np.std(found) / len(found) ** 0.5
    told = recipe.variant.nominal_bytes(recipe.num_categories)
    assert abs(told - mean) <= 0.1 * mean + 2 * error, (told, mean, error)
