"""The picture that a dataset is made from, and its copy in the dataset's folder.

The copy serves workers, other machines and later runs; the original is needed once.
"""

import dataclasses
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.archive import png
from fdsl_gen.archive.manifest import META
from fdsl_gen.core import settings
from fdsl_gen.core.errors import UsageError
from fdsl_gen.recipe.recipe import Recipe
from fdsl_gen.storage import local

KEPT = "source.png"  # in __meta__


@runtime_checkable
class FromPicture(Protocol):
    """A kind of dataset that is made from a picture.

    Attributes:
        source: path of the picture, or None.
    """

    source: str | None

    def picture(self) -> NDArray[np.uint8]:
        """The prepared picture; UsageError if there is none."""
        ...


def _reading(recipe: Recipe, picture: Path) -> Recipe:
    variant = dataclasses.replace(recipe.variant, source=str(picture))  # type: ignore[call-arg]
    return _pinned(dataclasses.replace(recipe, variant=variant))


def _pinned(recipe: Recipe) -> Recipe:
    """The recipe with the digests of the files that it names, which are read and compared."""
    recipe.variant.check_files()
    return dataclasses.replace(recipe, variant=settings.pinned(recipe.variant))


def adopt(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with the picture that a dataset's folder keeps, if it names none itself.

    From here on the files that it names may not change: their digests stand in its settings.

    Raises:
        UsageError: if a file cannot be read, or is not that of the recipe.
    """
    variant = recipe.variant
    kept = folder / META / KEPT
    if not isinstance(variant, FromPicture) or variant.source is not None or not kept.exists():
        return _pinned(recipe)
    return _reading(recipe, kept)


def picture_of(recipe: Recipe) -> NDArray[np.uint8] | None:
    """The prepared picture of a recipe, or None if its kind needs none.

    Raises:
        UsageError: if it needs one and has none.
    """
    return recipe.variant.picture() if isinstance(recipe.variant, FromPicture) else None


def keep(recipe: Recipe, picture: NDArray[np.uint8] | None, folder: Path) -> Recipe:
    """Put the picture of a recipe into its dataset's folder; the recipe that reads it from there.

    Raises:
        UsageError: if it cannot be written.
    """
    if picture is None:
        return recipe
    kept = folder / META / KEPT
    try:
        if not kept.exists():
            local.write(kept, png.encode(picture, "rgb8"))
    except OSError as error:
        raise UsageError(f"cannot write {kept}: {error.strerror}") from None
    return _reading(recipe, kept)
