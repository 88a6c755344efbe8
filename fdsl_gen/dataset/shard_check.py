"""Is a shard what a marker or a manifest claims of it?"""

import tempfile
from pathlib import Path

from fdsl_gen.archive.manifest import ShardEntry
from fdsl_gen.core.errors import Mismatch
from fdsl_gen.storage.base import Store
from fdsl_gen.storage.local import file_sha256


def check_shard_file(path: Path, entry: ShardEntry) -> None:
    """Compare a shard in a folder with what the manifest says of it.

    Raises:
        Mismatch: if it is missing, or its size or sha256 differ.
    """
    if not path.is_file():
        raise Mismatch(f"{entry.file} is missing")
    if path.stat().st_size != entry.bytes or file_sha256(path) != entry.sha256:
        raise Mismatch(
            f"{path} is not what the manifest says (size or sha256 differ); delete it and run the"
            " command again that made it"
        )


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
