"""The table that the categories of a dataset come from, and its copy in the dataset's folder.

The copy serves workers, other machines and later runs; the original is needed once.
"""

import dataclasses
from pathlib import Path

from fdsl_gen.archive.paths import TABLE
from fdsl_gen.core.errors import UsageError
from fdsl_gen.geometry.category_table import table_text
from fdsl_gen.recipe.recipe import Recipe
from fdsl_gen.storage import local
from fdsl_gen.variants._parametric import Parametric


def attach_table(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with the table that a dataset's folder holds, if it has one and names no file.

    Raises:
        UsageError: if it cannot be read, or is not that of the recipe.
    """
    variant, stored = recipe.variant, folder / TABLE
    if not isinstance(variant, Parametric) or not variant.has_table:
        return recipe
    if variant.categories_from is not None or not stored.exists():
        return recipe
    return _reading(recipe, stored)


def table_of(recipe: Recipe) -> bytes | None:
    """The table that a recipe names, as it is stored; None if it names none.

    Raises:
        UsageError: if it cannot be read, or is not that of the recipe.
    """
    variant = recipe.variant
    if not isinstance(variant, Parametric) or variant.categories_from is None:
        return None
    return table_text(variant.TABLE, variant.table()).encode()


def store_table(recipe: Recipe, table: bytes | None, folder: Path) -> Recipe:
    """Put a recipe's table into its dataset's folder; the recipe that reads it from there.

    Raises:
        UsageError: if it cannot be written.
    """
    if table is None:
        return recipe
    stored = folder / TABLE
    try:
        if not stored.exists():
            local.write(stored, table)
    except OSError as error:
        raise UsageError(f"cannot write {stored}: {error.strerror}") from None
    return _reading(recipe, stored)


def _reading(recipe: Recipe, path: Path) -> Recipe:
    """The recipe with another place of its table, which is read and compared."""
    variant = dataclasses.replace(recipe.variant, categories_from=str(path))  # type: ignore[call-arg]
    variant.check_files()
    return dataclasses.replace(recipe, variant=variant)
