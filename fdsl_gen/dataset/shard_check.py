"""Is a shard what a marker or a manifest claims of it?"""

import tempfile
from pathlib import Path

from fdsl_gen.archive.manifest import ShardEntry
from fdsl_gen.storage.base import Store
from fdsl_gen.storage.local import file_sha256


def is_intact(store: Store, entry: ShardEntry) -> bool:
    """Whether a shard is there and has the size and the sha256 that are claimed of it.

    The sha256 is the one that the store keeps with the file. Where it keeps none, the file is read.
    """
    there = store.stat(entry.file)
    if there is None or there.size != entry.bytes:
        return False
    if there.sha256 is not None:
        return there.sha256 == entry.sha256
    with (
        tempfile.TemporaryDirectory() as temporary,
        store.local_copy(entry.file, Path(temporary)) as path,
    ):
        return file_sha256(path) == entry.sha256
