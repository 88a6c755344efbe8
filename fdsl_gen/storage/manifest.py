"""The manifest of a dataset, wherever it is stored."""

from pathlib import Path

from fdsl_gen.archive.manifest import Manifest, parse_manifest
from fdsl_gen.archive.paths import LOCK, MANIFEST
from fdsl_gen.core.errors import UsageError
from fdsl_gen.storage.base import Store
from fdsl_gen.storage.errors import ObjectMissing
from fdsl_gen.storage.local import LocalStore
from fdsl_gen.storage.open import store_at


def read_manifest(place: Path | Store) -> Manifest:
    """The manifest of a dataset.

    Args:
        place: a folder, or where the dataset is stored.

    Raises:
        UsageError: if there is none, or it is not one.
        StorageError: if the storage does not answer.
    """
    store = store_at(place)
    try:
        return parse_manifest(store.read(MANIFEST), f"{store.url}/{MANIFEST}")
    except ObjectMissing:
        pass
    if isinstance(store, LocalStore) and not store.folder.exists():
        raise UsageError(f"no such folder: {store.url}")
    if store.stat(LOCK):
        raise UsageError(
            f"{store.url} is not finished: run its fdsl-gen command again (fdsl-gen status"
            f" {store.url} tells what is missing)"
        )
    raise UsageError(
        f"{store.url} has no {MANIFEST}: there is no dataset there, or it is not a dataset made by"
        " fdsl-gen"
    )
