"""The image that a dataset is made from, and its copy in the dataset's folder.

The copy serves workers, other machines and later runs; the original is needed once.
"""

import dataclasses
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.archive import png
from fdsl_gen.archive.paths import SOURCE_IMAGE
from fdsl_gen.core import settings
from fdsl_gen.core.errors import UsageError
from fdsl_gen.recipe.recipe import Recipe
from fdsl_gen.storage import local


@runtime_checkable
class FromSourceImage(Protocol):
    """A kind of dataset that is made from an image.

    Attributes:
        source: path of the image, or None.
    """

    source: str | None

    def source_image(self) -> NDArray[np.uint8]:
        """The prepared image; UsageError if there is none."""
        ...


def _reading(recipe: Recipe, path: Path) -> Recipe:
    variant = dataclasses.replace(recipe.variant, source=str(path))  # type: ignore[call-arg]
    return pinned(dataclasses.replace(recipe, variant=variant))


def pinned(recipe: Recipe) -> Recipe:
    """The recipe with the digests of the files that it names, which are read and compared."""
    recipe.variant.check_files()
    return dataclasses.replace(recipe, variant=settings.pinned(recipe.variant))


def attach_source(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with the image that a dataset's folder holds, if it names none itself.

    From here on the files that it names may not change: their digests stand in its settings.

    Raises:
        UsageError: if a file cannot be read, or is not that of the recipe.
    """
    variant = recipe.variant
    stored = folder / SOURCE_IMAGE
    if (
        not isinstance(variant, FromSourceImage)
        or variant.source is not None
        or not stored.exists()
    ):
        return pinned(recipe)
    return _reading(recipe, stored)


def source_image_of(recipe: Recipe) -> NDArray[np.uint8] | None:
    """The prepared image of a recipe, or None if its kind needs none.

    Raises:
        UsageError: if it needs one and has none.
    """
    return recipe.variant.source_image() if isinstance(recipe.variant, FromSourceImage) else None


def store_source(recipe: Recipe, image: NDArray[np.uint8] | None, folder: Path) -> Recipe:
    """Put a recipe's source image into its dataset's folder; the recipe that reads it from there.

    Raises:
        UsageError: if it cannot be written.
    """
    if image is None:
        return recipe
    stored = folder / SOURCE_IMAGE
    try:
        if not stored.exists():
            local.write(stored, png.encode(image, "rgb8"))
    except OSError as error:
        raise UsageError(f"cannot write {stored}: {error.strerror}") from None
    return _reading(recipe, stored)
