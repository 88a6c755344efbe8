"""Render Formula-Driven Supervised Learning datasets to WebDataset shards.

Four public functions are the ones the commands use: :func:`load_recipe`, :func:`render`,
:func:`generate` and :func:`open_dataset`. Whoever needs samples and no files takes
:class:`RecipeSplit`, with :func:`prepare` and :func:`parse_recipe`. All are imported on first use,
so that importing the package (or asking for ``fdsl-gen --help``) does not import numba. What goes
wrong in a way that can be told is a :class:`FdslError`.

    >>> from fdsl_gen import generate, load_recipe, open_dataset, render
    >>> recipe = load_recipe("fractal-1", num_categories=8, image_size=128)
    >>> image = render(recipe, category=7).image
    >>> manifest = generate(recipe, "shards8", workers=1)
    >>> (open_dataset("shards8")["00007_00000"].image == image).all()
    np.True_
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fdsl_gen.archive.sample import Sample as Sample
    from fdsl_gen.build.generate import generate as generate
    from fdsl_gen.build.on_demand import RecipeSplit as RecipeSplit
    from fdsl_gen.build.on_demand import prepare as prepare
    from fdsl_gen.core.errors import FdslError as FdslError
    from fdsl_gen.dataset.reader import Dataset as Dataset
    from fdsl_gen.dataset.reader import open_dataset as open_dataset
    from fdsl_gen.recipe.jobs import render as render
    from fdsl_gen.recipe.recipe import Recipe as Recipe
    from fdsl_gen.recipe.recipe import load_recipe as load_recipe
    from fdsl_gen.recipe.text import parse_recipe as parse_recipe
    from fdsl_gen.variants.base import Rendered as Rendered

__version__ = "0.1.0"

_HOMES = {
    "Dataset": "fdsl_gen.dataset.reader",
    "FdslError": "fdsl_gen.core.errors",
    "Recipe": "fdsl_gen.recipe.recipe",
    "RecipeSplit": "fdsl_gen.build.on_demand",
    "Rendered": "fdsl_gen.variants.base",
    "Sample": "fdsl_gen.archive.sample",
    "generate": "fdsl_gen.build.generate",
    "load_recipe": "fdsl_gen.recipe.recipe",
    "open_dataset": "fdsl_gen.dataset.reader",
    "parse_recipe": "fdsl_gen.recipe.text",
    "prepare": "fdsl_gen.build.on_demand",
    "render": "fdsl_gen.recipe.jobs",
}

__all__ = [
    "Dataset",
    "FdslError",
    "Recipe",
    "RecipeSplit",
    "Rendered",
    "Sample",
    "generate",
    "load_recipe",
    "open_dataset",
    "parse_recipe",
    "prepare",
    "render",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fdsl_gen' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
