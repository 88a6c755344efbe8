"""A shard: samples -> tar bytes, and back from a tar to what it holds.

Tars are plain USTAR with fixed times and owners, so that equal samples give equal bytes. Beside
every shard stands an index with the byte range of each member (``__meta__/index``), which lets a
reader take one sample with one read.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.archive.names import KEY_BYTES, member_name
from fdsl_gen.archive.npy import array_of, npy_bytes

_BLOCK = 512
_KEY_CHARACTERS = np.frombuffer(b"0123456789_\0", np.uint8)
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
    yield bytes(tar_bytes(written) - written)


def sample_bytes(sample: Encoded) -> int:
    """What a sample takes in a tar file, with its headers."""
    return sum(_BLOCK + len(content) + -len(content) % _BLOCK for _, content in sample.members)


def tar_bytes(samples: int) -> int:
    """The size of a tar file whose samples take so many bytes."""
    return samples + 2 * _BLOCK + -(samples + 2 * _BLOCK) % _RECORD


def index_dtype(members: Iterable[str]) -> np.dtype[np.void]:
    """One row a sample: ``key``, then ``{member}_offset`` and ``{member}_size`` in bytes."""
    columns = [(f"{member}_{what}", "<i8") for member in members for what in ("offset", "size")]
    return np.dtype([("key", f"S{KEY_BYTES}"), *columns])


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
    return npy_bytes(index)


def index_limit(members: Iterable[str], count: int) -> int:
    """The most bytes that the file of an index may have."""
    return 4096 + count * index_dtype(members).itemsize


def index_from(
    content: bytes, members: Iterable[str], count: int, tar_bytes: int
) -> NDArray[np.void]:
    """An index from the content of its file; nothing it says of sizes is believed.

    Args:
        content: of the ``.npy`` file.
        members: endings of the members of every sample.
        count: samples of the shard.
        tar_bytes: size of the shard.

    Raises:
        ValueError: if it is not the index of such a shard.
    """
    dtype = index_dtype(members)
    index = array_of(content, dtype, (count,))
    keys = np.ascontiguousarray(index["key"]).view(np.uint8)
    if not np.all(np.isin(keys, _KEY_CHARACTERS)):
        raise ValueError("it names samples as fdsl-gen never does")
    columns = list(dtype.names or ())[1:]
    offset, size = (np.stack([index[c] for c in columns[k::2]], 1).ravel() for k in (0, 1))
    spans = _BLOCK + size + -size % _BLOCK  # header, content, padding
    if np.any((size < 0) | (size > tar_bytes)) or spans.sum() + 2 * _BLOCK > tar_bytes:
        raise ValueError("it points outside the shard")
    if np.any(offset != np.cumsum(spans) - spans + _BLOCK):
        raise ValueError("it points at other members")
    return index


def _entries(path: Path) -> Iterator[tuple[BinaryIO, str, str, int, int]]:
    """File, key, ending, offset and size of each member of a shard.

    A header must be the one that :func:`tar_parts` writes for its name and size, to the byte:
    links, devices and the extensions of other tools have no place in a shard.

    Raises:
        ValueError: if the tar is damaged, cut anywhere, or holds something else.
    """
    seen: set[str] = set()
    try:
        if path.exists() and not path.is_file():
            raise ValueError(f"{path.name} is not a regular file")
        with path.open("rb") as file:
            length = os.fstat(file.fileno()).st_size
            at = 0
            while (block := file.read(_BLOCK)) != bytes(_BLOCK):
                if len(block) < _BLOCK:
                    raise ValueError(f"{path.name} is cut short")
                name, size = _header_of(block, path.name)
                if name in seen:
                    raise ValueError(f"{path.name} holds {name} twice")
                seen.add(name)
                key, ending = member_name(name)
                at += _BLOCK
                if size > length - at:
                    raise ValueError(f"{path.name} is cut short in {name}")
                yield file, key, ending, at, size
                at += size + -size % _BLOCK
                file.seek(at)
            file.seek(at)
            rest = file.read(2 * _RECORD)
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read: {error.strerror}") from None
    if len(rest) < 2 * _BLOCK:  # an archive ends with two empty blocks
        raise ValueError(f"{path.name} is cut short")
    if rest.strip(b"\0") or at + len(rest) != length:
        raise ValueError(f"{path.name} goes on after its end")


def _header_of(block: bytes, shard: str) -> tuple[str, int]:
    """Name and size of a member; ValueError if its header is not one of ours."""
    try:
        name = block[:100].rstrip(b"\0").decode("ascii")
        size = int(block[124:135], 8)
        if _header(name, size) == block:
            return name, size
    except ValueError:
        pass
    raise ValueError(f"{shard} is not a readable tar file of fdsl-gen")


def read_samples(path: Path) -> Iterator[Encoded]:
    """The samples of a tar file, in order.

    Raises:
        ValueError: if the tar is damaged, cut short, or holds something else.
    """
    current = ""
    members: list[tuple[str, bytes]] = []
    for file, key, ending, _, size in _entries(path):
        if members and key != current:
            yield Encoded(current, tuple(members))
            members = []
        current = key
        members.append((ending, file.read(size)))
    if members:
        yield Encoded(current, tuple(members))


def scan_index(path: Path, members: Iterable[str]) -> NDArray[np.void]:
    """The index of a tar file, from its headers alone.

    Raises:
        ValueError: if the tar is damaged, cut short, or holds other members than ``members``.
    """
    wanted = list(members)
    flat: list[tuple[str, str, int, int]] = []
    for _, key, ending, offset, size in _entries(path):
        flat.append((key, ending, offset, size))
    rows = []
    for first in range(0, len(flat), len(wanted)):
        group = flat[first : first + len(wanted)]
        key = group[0][0]
        if [member[:2] for member in group] != [(key, ending) for ending in wanted]:
            raise ValueError(f"{path.name}: sample {key} does not have the members {wanted}")
        numbers = [number for member in group for number in member[2:]]
        rows.append((key.encode(), *numbers))
    return np.array(rows, dtype=index_dtype(wanted))
