"""The manifest of a dataset in a store."""

from fdsl_gen.archive.manifest import MANIFEST, META, Manifest, parse_manifest
from fdsl_gen.core.errors import UsageError
from fdsl_gen.storage.base import Store
from fdsl_gen.storage.errors import ObjectMissing


def fetch_manifest(store: Store) -> Manifest:
    """The manifest of a dataset.

    Raises:
        UsageError: if there is none, or it is not one.
        StorageError: if the storage does not answer.
    """
    try:
        return parse_manifest(store.read(MANIFEST), f"{store.url}/{MANIFEST}")
    except ObjectMissing:
        if store.stat(f"{META}/recipe.json"):
            raise UsageError(
                f"{store.url} is not finished: run its fdsl-gen command again (fdsl-gen status"
                f" {store.url} tells what is missing)"
            ) from None
        raise UsageError(f"{store.url} has no {MANIFEST}: there is no dataset there") from None
