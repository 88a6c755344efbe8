"""The files that a dataset is made from, and their copies in its folder.

The copies serve workers, other machines and later runs; the originals are needed once.
"""

import contextlib
import dataclasses
from collections.abc import Mapping
from pathlib import Path

from fdsl_gen.core import settings
from fdsl_gen.core.errors import UsageError
from fdsl_gen.dataset.work_folder import WorkFolder
from fdsl_gen.recipe.recipe import Recipe
from fdsl_gen.storage import local
from fdsl_gen.storage.base import Store
from fdsl_gen.storage.errors import ObjectMissing


def pinned(recipe: Recipe) -> Recipe:
    """The recipe with the digests of the files that it names, which are read and compared."""
    recipe.variant.check_files()
    return dataclasses.replace(recipe, variant=settings.pinned(recipe.variant))


def attach_inputs(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with the copies that a dataset's folder holds, of files that it names none of.

    From here on the files that it names may not change: their digests stand in its settings.

    Raises:
        UsageError: if a file cannot be read, or is not that of the recipe.
    """
    copies = {setting: folder / name for setting, name in recipe.variant.inputs.items()}
    return _reading(
        recipe,
        {
            setting: copy
            for setting, copy in copies.items()
            if getattr(recipe.variant, setting) is None and copy.exists()
        },
    )


def attach_stored(store: Store, recipe: Recipe, work: WorkFolder) -> Recipe:
    """The recipe with the files that its dataset holds, of which it names none itself."""
    for setting, name in recipe.variant.inputs.items():
        if getattr(recipe.variant, setting) is None:
            with contextlib.suppress(ObjectMissing):
                work.fetch(store, [name])
    return attach_inputs(recipe, work.path)


def contents_of(recipe: Recipe) -> dict[str, bytes]:
    """What is to be stored of the files of a recipe, by the settings that name them.

    Raises:
        UsageError: if one is not named, cannot be read, or is not that of the recipe.
    """
    return {setting: recipe.variant.input_bytes(setting) for setting in recipe.variant.inputs}


def store_inputs(recipe: Recipe, contents: Mapping[str, bytes], folder: Path) -> Recipe:
    """Put the files of a recipe into its dataset's folder; the recipe that reads them from there.

    Raises:
        UsageError: if one cannot be written.
    """
    copies = {setting: folder / recipe.variant.inputs[setting] for setting in contents}
    for setting, copy in copies.items():
        try:
            if not copy.exists():
                local.write(copy, contents[setting])
        except OSError as error:
            raise UsageError(f"cannot write {copy}: {error.strerror}") from None
    return _reading(recipe, copies)


def _reading(recipe: Recipe, copies: Mapping[str, Path]) -> Recipe:
    """The recipe with other places of its files, pinned."""
    places = {setting: str(copy) for setting, copy in copies.items()}
    variant = dataclasses.replace(recipe.variant, **places)
    return pinned(dataclasses.replace(recipe, variant=variant))
