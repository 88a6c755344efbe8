"""Members of a tar that anybody may have written, from its headers alone.

Formats are POSIX.1-1988 (ustar), POSIX.1-2001 (pax) and GNU tar's long names. Python's ``tarfile``
reads them too, but takes a damaged header in the middle for the end of the archive, which would
lose samples without a word, and needs several times as long for a header. Nothing that a header
says is believed: sizes are compared with the file before anything is read, names are text and
never paths, and what is no plain file (links, devices, parts of other archives) is refused.
"""

import os
import re
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from fdsl_gen.core.errors import UsageError, visible

_BLOCK = 512
_EMPTY = bytes(_BLOCK)
_BLANKS = 8 * ord(" ")
_ADLER = 65521
_FILE = frozenset(b"0\x007")
_FOLDER, _LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL = b"5LKxg"
_KINDS = {
    ord("1"): "a hard link",
    ord("2"): "a link",
    ord("3"): "a device",
    ord("4"): "a device",
    ord("6"): "a pipe",
    ord("S"): "a sparse file",
}
_MOST_EXTRA = 1 << 16  # bytes of a long name or of pax records; names have at most 4,096
_NEAR = 1 << 16  # a header that is no further off is read with what is before it ...
_LONG_READ, _SHORT_READ = 1 << 17, 1 << 12  # ... by reads of so many bytes
_RECORD = re.compile(rb"([1-9][0-9]{0,9}) ([^=\n]+)=")


class Member(NamedTuple):
    """A file in a tar: its name, and where its content is, in bytes."""

    name: str
    offset: int
    size: int


class DamagedTar(Exception):
    """A tar that cannot be read to its end; what stands before has been yielded."""


class TarBytes:
    """Bytes of an open tar, read ahead.

    Args:
        file: descriptor.
        name: how messages call it.
    """

    def __init__(self, file: int, name: str) -> None:
        self.name = name
        self.length = os.fstat(file).st_size
        self._file = file
        self._start = 0
        self._data = b""

    def read(self, offset: int, count: int) -> bytes:
        """``count`` bytes from ``offset`` on, fewer where the file ends."""
        at = offset - self._start
        if at < 0 or at + count > len(self._data):
            near = 0 <= at - len(self._data) < _NEAR
            ahead = _LONG_READ if near else _SHORT_READ
            self._data = os.pread(self._file, max(count, ahead), offset)
            self._start, at = offset, 0
        return self._data[at : at + count]


def members(tar: TarBytes) -> Iterator[Member]:
    """The plain files of a tar, in its order.

    Raises:
        DamagedTar: if it is cut short or damaged.
        UsageError: if it holds what no set of images has: links, devices, names of paths.
    """
    at = 0
    named: str | None = None  # by the header before, for the next one
    sized: int | None = None
    while (block := tar.read(at, _BLOCK)) != _EMPTY:
        if len(block) < _BLOCK:
            raise DamagedTar("is cut short: its end is missing")
        _check_sum(block, at)
        kind, size = block[156], _number(block[124:136], at)
        at += _BLOCK
        if kind in (_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL):
            extra = _extra(tar, at, size)
            if kind == _LONG_NAME:
                named = _text(extra)
            elif kind == _PAX:
                named, sized = _pax(extra, named, sized, tar.name)
            elif kind == _PAX_GLOBAL:
                _no_global_names(extra, tar.name)
            at += size + -size % _BLOCK
            continue
        name = _name(block) if named is None else named
        if sized is not None:
            size = sized
        named = sized = None
        if kind == _FOLDER or (kind == 0 and name.endswith("/")):
            continue
        if kind not in _FILE:
            what = _KINDS.get(kind, f"a member of the unknown kind {chr(kind)!r}")
            raise UsageError(
                f"{tar.name} holds {what}, {shown(name)}; tars of plain files are read only"
                " (tar --dereference --hard-dereference writes what links lead to)"
            )
        _check_name(name, tar.name)
        if size > tar.length - at:
            raise DamagedTar(f"is cut short in {shown(name)}")
        yield Member(name, at, size)
        at += size + -size % _BLOCK


def shown(name: str) -> str:
    """A name as messages show it, whatever characters it has."""
    safe = visible(name)
    return safe if len(safe) <= 120 else f"{safe[:117]}..."


def _check_sum(block: bytes, at: int) -> None:
    field = block[148:156]  # blanks stand here while the sum is made
    expected = _number(field, at) + sum(field) - _BLANKS
    # Half of Adler's checksum is the sum of the bytes and 1, modulo 65,521, at the speed of C.
    if (expected + 1) % _ADLER == zlib.adler32(block) & 0xFFFF:
        return
    # Some old programs added the bytes up as signed numbers.
    signed = sum(byte - 256 * (byte > 127) for byte in block)
    if expected != signed:
        raise DamagedTar(f"is damaged at byte {at:,}: no header stands there")


def _number(field: bytes, at: int) -> int:
    """Octal digits, or GNU's binary form for large numbers."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.partition(b"\0")[0].strip()
    if digits.strip(b"01234567"):  # int() would take signs and underscores
        raise DamagedTar(f"is damaged at byte {at:,}: no header stands there")
    return int(digits or b"0", 8)


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _name(block: bytes) -> str:
    name = _text(block[:100])
    if block[257:263] == b"ustar\0" and block[345]:  # GNU keeps other things there
        return f"{_text(block[345:500])}/{name}"
    return name


def _check_name(name: str, tar: str) -> None:
    if not name or name[0] == "/" or (".." in name and ".." in name.split("/")):
        raise UsageError(
            f"{tar} holds {shown(name)!r}, which is not the name of a file inside it; make it"
            " without absolute names and .."
        )


def _extra(tar: TarBytes, at: int, size: int) -> bytes:
    if size > _MOST_EXTRA:
        raise UsageError(f"{tar.name} has a header of {size:,} bytes at byte {at:,}; none is so")
    extra = tar.read(at, size)
    if len(extra) < size:
        raise DamagedTar("is cut short: its end is missing")
    return extra


def _records(extra: bytes, tar: str) -> Iterator[tuple[bytes, bytes]]:
    """The records of a pax header: ``LENGTH KEY=VALUE`` and the end of a line."""
    at = 0
    while at < len(extra) and extra[at]:
        found = _RECORD.match(extra, at)
        end = at + int(found[1]) if found else 0
        if found is None or not found.end() < end <= len(extra) or extra[end - 1 : end] != b"\n":
            raise DamagedTar("is damaged: it has a pax header that cannot be read")
        yield found[2], extra[found.end() : end - 1]
        at = end


def _pax(
    extra: bytes, named: str | None, sized: int | None, tar: str
) -> tuple[str | None, int | None]:
    """Name and size that pax records give the next member."""
    for key, value in _records(extra, tar):
        if key == b"path":
            named = _text(value)
        elif key == b"size":
            if not value.isdigit() or len(value) > 18:
                raise DamagedTar("is damaged: it has a pax header that cannot be read")
            sized = int(value)
        elif key.startswith(b"GNU.sparse."):
            raise UsageError(f"{tar} holds a sparse file; make it without --sparse")
    return named, sized


def _no_global_names(extra: bytes, tar: str) -> None:
    for key, _ in _records(extra, tar):
        if key in (b"path", b"size"):
            raise UsageError(f"{tar} gives all its members one {key.decode()}; make it anew")
