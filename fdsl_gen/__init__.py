"""Render Formula-Driven Supervised Learning datasets to WebDataset shards.

The four public functions are the ones the commands use: :func:`load_recipe`, :func:`render`,
:func:`generate` and :func:`open_dataset`. They are imported on first use, so that importing the
package (or asking for ``fdsl-gen --help``) does not import numba.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fdsl_gen.build.generate import generate as generate
    from fdsl_gen.dataset.reader import Dataset as Dataset
    from fdsl_gen.dataset.reader import open_dataset as open_dataset
    from fdsl_gen.recipe.jobs import render as render
    from fdsl_gen.recipe.recipe import Recipe as Recipe
    from fdsl_gen.recipe.recipe import load_recipe as load_recipe

__version__ = "0.1.0"

_HOMES = {
    "Dataset": "fdsl_gen.dataset.reader",
    "Recipe": "fdsl_gen.recipe.recipe",
    "generate": "fdsl_gen.build.generate",
    "load_recipe": "fdsl_gen.recipe.recipe",
    "open_dataset": "fdsl_gen.dataset.reader",
    "render": "fdsl_gen.recipe.jobs",
}

__all__ = ["Dataset", "Recipe", "generate", "load_recipe", "open_dataset", "render"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fdsl_gen' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
