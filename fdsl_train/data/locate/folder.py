"""Where the shards of a split are."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from fdsl_gen.archive.manifest import SplitEntry
from fdsl_gen.core.errors import UsageError


class ShardLocator(Protocol):
    """Where the shards of a split are."""

    def locate(self, shard: int) -> Path:
        """The local file of a shard, brought there first if it is elsewhere.

        Its index, if there is one, is beside it in ``__meta__/index``.
        """
        ...

    def prefetch(self, shards: Sequence[int]) -> None:
        """Begin to bring shards that will be located soon; does not wait."""
        ...

    def read_indexes(self) -> Sequence[bytes | None]:
        """The index files of all shards, in order, without the shards.

        None where there is none, or where the shard itself is near.
        """
        ...


class FolderShelf:
    """The shards of a local dataset folder.

    Args:
        folder: dataset folder.
        entry: the split.

    Raises:
        UsageError: if a shard is missing or has another size than the manifest says.
    """

    def __init__(self, folder: Path, entry: SplitEntry) -> None:
        _check_files(folder, entry)
        self._paths = [folder / shard.file for shard in entry.shards]

    def locate(self, shard: int) -> Path:
        """See :class:`ShardLocator`."""
        return self._paths[shard]

    def prefetch(self, shards: Sequence[int]) -> None:
        """Nothing to do."""

    def read_indexes(self) -> Sequence[bytes | None]:
        """See :class:`ShardLocator`."""
        return [None] * len(self._paths)


def _check_files(folder: Path, entry: SplitEntry) -> None:
    for shard in entry.shards:
        path = folder / shard.file
        try:
            size = path.stat().st_size
        except OSError as error:
            reason = "is missing" if isinstance(error, FileNotFoundError) else error.strerror
            raise UsageError(f"shard {path}: {reason}; run the fdsl-gen command again") from None
        if size != shard.bytes:
            raise UsageError(
                f"shard {path}: is {size} bytes, the manifest says {shard.bytes};"
                " delete it and run the fdsl-gen command again"
            )
