"""From what a user names to the store that it is."""

from pathlib import Path

from fdsl_gen.core.path_names import check_path
from fdsl_gen.storage.base import Store
from fdsl_gen.storage.local import LocalStore
from fdsl_gen.storage.objects import ObjectStore
from fdsl_gen.storage.options import StorageOptions
from fdsl_gen.storage.url import is_remote


def store_at(place: str | Path | Store, options: StorageOptions | None = None) -> Store:
    """The store at the path of a folder, or ``s3://bucket/prefix`` (gs, az); a store is itself.

    Raises:
        UsageError: if it is a URL of another kind, or cannot be a path.
    """
    if not isinstance(place, str | Path):
        return place
    if is_remote(place):
        return ObjectStore.at(str(place), options)
    return LocalStore(check_path(place))
