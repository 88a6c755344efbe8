"""A shard: samples -> tar bytes, and back from a tar to what it holds.

Tars are plain USTAR with fixed times and owners, so that equal samples give equal bytes. Beside
every shard stands an index with the byte range of each member (``__meta__/index``), which lets a
reader take one sample with one read.
"""

import io
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_BLOCK = 512
_RECORD = 20 * _BLOCK  # tar files end on a whole record (POSIX.1-1988, section 10.1.1)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A sample as it stands in a shard: its key and its members, in order."""

    key: str
    members: tuple[tuple[str, bytes], ...]  # (ending without the dot, content)


def _header(name: str, size: int) -> bytes:
    """USTAR header of a regular file: mode 0644, uid, gid and mtime 0, no owner names."""
    encoded = name.encode("ascii")
    if len(encoded) > 100:
        raise ValueError(f"member name too long for USTAR: {name}")
    numbers = [b"0000644", b"0000000", b"0000000", b"%011o" % size, b"%011o" % 0]  # mode ... mtime
    fixed = b"".join(number + b"\0" for number in numbers)
    tail = b"0" + bytes(100) + b"ustar\0" + b"00" + bytes(247)
    head = encoded.ljust(100, b"\0") + fixed
    checksum = sum(head) + sum(tail) + 8 * ord(" ")
    return head + b"%06o\0 " % checksum + tail


def tar_parts(samples: Iterable[Encoded]) -> Iterator[bytes]:
    """The bytes of a tar file, in parts."""
    written = 0
    for sample in samples:
        for ending, content in sample.members:
            padding = -len(content) % _BLOCK
            yield _header(f"{sample.key}.{ending}", len(content))
            yield content
            yield bytes(padding)
            written += _BLOCK + len(content) + padding
    yield bytes(2 * _BLOCK + -(written + 2 * _BLOCK) % _RECORD)


def index_dtype(members: Iterable[str]) -> np.dtype[np.void]:
    """One row a sample: ``key``, then ``{member}_offset`` and ``{member}_size`` in bytes."""
    columns = [(f"{member}_{what}", "<i8") for member in members for what in ("offset", "size")]
    return np.dtype([("key", "S24"), *columns])


def index_of(samples: Iterable[Encoded], members: Iterable[str]) -> NDArray[np.void]:
    """The index of the tar that :func:`tar_parts` makes of ``samples``."""
    rows = []
    at = 0
    for sample in samples:
        row: list[bytes | int] = [sample.key.encode()]
        for _, content in sample.members:
            at += _BLOCK
            row += [at, len(content)]
            at += len(content) + -len(content) % _BLOCK
        rows.append(tuple(row))
    return np.array(rows, dtype=index_dtype(members))


def index_bytes(index: NDArray[np.void]) -> bytes:
    """An index as the content of a ``.npy`` file."""
    buffer = io.BytesIO()
    np.save(buffer, index, allow_pickle=False)
    return buffer.getvalue()


def _entries(path: Path) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """The members of a tar file; ValueError if it is damaged or cut anywhere."""
    end = 0
    try:
        with tarfile.open(path, "r:") as tar:
            for info in tar:
                end = info.offset_data + info.size + -info.size % _BLOCK
                yield tar, info
    except (tarfile.TarError, OSError) as error:
        raise ValueError(f"{path.name} is not a readable tar file: {error}") from None
    if path.stat().st_size < end + 2 * _BLOCK:  # an archive ends with two empty blocks
        raise ValueError(f"{path.name} is cut short")


def read_samples(path: Path) -> Iterator[Encoded]:
    """The samples of a tar file, in order.

    Raises:
        ValueError: if the tar is damaged or cut short.
    """
    key = ""
    members: list[tuple[str, bytes]] = []
    for tar, info in _entries(path):
        name, _, ending = info.name.partition(".")
        try:
            file = tar.extractfile(info)
            content = file.read() if file else b""
        except tarfile.TarError:
            raise ValueError(f"{path.name} is cut short in {info.name}") from None
        if members and name != key:
            yield Encoded(key, tuple(members))
            members = []
        key = name
        members.append((ending, content))
    if members:
        yield Encoded(key, tuple(members))


def scan_index(path: Path, members: Iterable[str]) -> NDArray[np.void]:
    """The index of a tar file, from its headers alone.

    Raises:
        ValueError: if the tar is damaged, cut short, or holds other members than ``members``.
    """
    wanted = list(members)
    flat: list[tuple[str, str, int, int]] = []
    for _, info in _entries(path):
        key, _, ending = info.name.partition(".")
        flat.append((key, ending, info.offset_data, info.size))
    rows = []
    for first in range(0, len(flat), len(wanted)):
        group = flat[first : first + len(wanted)]
        key = group[0][0]
        if [member[:2] for member in group] != [(key, ending) for ending in wanted]:
            raise ValueError(f"{path.name}: sample {key} does not have the members {wanted}")
        numbers = [number for member in group for number in member[2:]]
        rows.append((key.encode(), *numbers))
    return np.array(rows, dtype=index_dtype(wanted))
