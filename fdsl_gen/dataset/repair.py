"""Giving a finished dataset back its ``recipe.json``, from its manifest."""

from pathlib import Path

from fdsl_gen.archive.manifest import Manifest
from fdsl_gen.archive.paths import LOCK
from fdsl_gen.core.errors import Mismatch, UsageError
from fdsl_gen.dataset.lock import lock_bytes_of, locked_recipe
from fdsl_gen.dataset.shard_check import is_intact
from fdsl_gen.storage.base import Store
from fdsl_gen.storage.manifest import read_manifest
from fdsl_gen.storage.open import store_at
from fdsl_gen.storage.threads import map_threads

_JOBS = 4  # shards that are read at a time


def restore_recipe(place: Path | Store) -> Manifest:
    """Write ``__meta__/recipe.json`` anew from the manifest, which is compared with all shards.

    Args:
        place: folder of a finished dataset, or where it is stored.

    Returns:
        The manifest.

    Raises:
        UsageError: if there is no manifest, it is damaged, or another version made it.
        Mismatch: if a shard is not what it says.
    """
    manifest = read_manifest(place)
    store = store_at(place)
    ours = lock_bytes_of(manifest)
    try:
        locked_recipe(ours, "")
    except UsageError:
        raise UsageError(
            f"the manifest of {store.url} does not fit its"
            " own digests: it is damaged, or another version of fdsl-gen made it; nothing can be"
            " restored from it"
        ) from None
    entries = [entry for split in manifest.splits.values() for entry in split.shards]
    for entry, sound in map_threads(lambda entry: is_intact(store, entry), entries, _JOBS):
        if not sound:
            raise Mismatch(f"{entry.file} is not what the manifest says; nothing was restored")
    store.write(LOCK, ours)
    return manifest
