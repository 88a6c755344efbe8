"""Samples of one shard, by their row: what both packages read datasets with."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.archive import tar
from fdsl_gen.archive.paths import ShardPaths
from fdsl_gen.core.errors import Mismatch
from fdsl_gen.core.json_text import read_bounded

#: Bytes ``start .. start + count - 1`` of a shard, or fewer where it ends.
ReadRange = Callable[[int, int], bytes]


class ShardReader:
    """The samples of a shard.

    Args:
        name: how messages call the shard.
        index: byte ranges of its members (``tar.index_dtype``).
        read_range: reads from it.
    """

    def __init__(self, name: str, index: NDArray[np.void], read_range: ReadRange) -> None:
        self.name = name
        self.index = index
        self._read_range = read_range

    def __len__(self) -> int:
        return len(self.index)

    def key(self, row: int) -> str:
        """The name of sample ``row``."""
        return bytes(self.index[row]["key"]).decode()

    def members(self, row: int, endings: Sequence[str]) -> dict[str, bytes]:
        """Contents of members of sample ``row`` by ending, with one read.

        Args:
            row: of the index.
            endings: which, neighbors in the shard.

        Raises:
            Mismatch: if the shard ends before they do; the caller says in which sample.
        """
        entry = self.index[row]
        ranges = [(int(entry[f"{e}_offset"]), int(entry[f"{e}_size"])) for e in endings]
        start, stop = min(ranges)[0], sum(max(ranges))
        data = self._read_range(start, stop - start)
        if len(data) != stop - start:
            raise Mismatch("the shard is cut short there")
        parts = (data[offset - start : offset - start + size] for offset, size in ranges)
        return dict(zip(endings, parts, strict=True))


class OpenShard(ShardReader):
    """A shard file of this machine, kept open until :meth:`close`.

    Args:
        path: of the file; its index, if there is one, is beside it in ``__meta__/index``.
        members: endings of the members of every sample.
        num_samples: how many it must hold.

    Raises:
        Mismatch: if it, or its index, is not what it must be.
    """

    def __init__(self, path: Path, members: Sequence[str], num_samples: int) -> None:
        index = load_index(path, members, num_samples)
        try:
            self._file = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise Mismatch(f"cannot read {path}: {error.strerror}") from None
        super().__init__(str(path), index, self._pread)

    def _pread(self, start: int, count: int) -> bytes:
        return os.pread(self._file, count, start)

    def close(self) -> None:
        """Give the file back."""
        os.close(self._file)


def load_index(path: Path, members: Sequence[str], num_samples: int) -> NDArray[np.void]:
    """Byte ranges of the samples of a shard file (``tar.index_dtype``).

    Taken from the file beside it, or from the headers of the tar where only that was kept.

    Raises:
        Mismatch: if the shard or its index is damaged, or holds another number of samples.
    """
    stored = path.parent / ShardPaths.of(path.name).index
    try:
        content = read_bounded(stored, tar.index_limit(members, num_samples))
        return tar.index_from(content, members, num_samples, path.stat().st_size)
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise damaged_index(path.name, str(stored), error) from None
    return scan(path, members, num_samples)


def scan(path: Path, members: Sequence[str], num_samples: int) -> NDArray[np.void]:
    """The index of a shard file, from its headers alone.

    Raises:
        Mismatch: if it is damaged, or holds another number of samples.
    """
    try:
        index = tar.scan_index(path, members)
    except ValueError as error:
        raise Mismatch(str(error)) from None
    if len(index) != num_samples:
        raise Mismatch(f"{path.name} holds {len(index)} samples instead of {num_samples}")
    return index


def damaged_index(shard: str, stored: str, error: Exception) -> Mismatch:
    """What to say of an index that cannot be one."""
    return Mismatch(
        f"the index of {shard} is damaged ({error}); delete it, it is optional: {stored}"
    )
