"""PNG, JPEG, TIFF and GIF files without their metadata, for a decoder that sees pixels only.

Text, color profiles and EXIF blocks change no pixel here, and a decoder that parses them can be
stopped by a broken one, or made to read the same bytes a million times by a hostile one. What is
dropped is never parsed. Of EXIF and XMP only the orientation is used, and read here: Pillow would
read every entry of the block. All work is linear in the bytes of the file.
"""

import io
import re
import struct
from typing import BinaryIO, NamedTuple

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}

_EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_START_OF_SCAN = 0xDA
# Neither stuffing, nor filling, nor the markers without a segment: TEM, RST0 .. RST7, SOI.
_MARKER = re.compile(rb"\xff[^\x00\xff\x01\xd0-\xd8]")
_APP0, _APP1, _APP14, _COMMENT = 0xE0, 0xE1, 0xEE, 0xFE  # JFIF, EXIF and XMP, Adobe's color
_METADATA = {*range(_APP1, 0xF0), _COMMENT} - {_APP14}

_GIF_EXTENSION, _GIF_CONTROL = 0x21, 0xF9  # the latter holds the transparent color

_ORIENTATION = 0x112
# Tags of TIFF 6.0 that say where pixels are and what they mean.
_TIFF_KEPT = {256, 257, 258, 259, 262, 266, 273, _ORIENTATION, 277, 278, 279, 284, 292, 293, 317}
_TIFF_KEPT |= {320, 322, 323, 324, 325, 332, 338, 339, 347, 512, 513, 514, 515, 519, 520, 521}
_TIFF_KEPT |= {529, 530, 531, 532, 50674}  # the last: parameters of LERC
_TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_TIFF_SIZES |= {13: 4, 16: 8, 17: 8, 18: 8}


class Pixels(NamedTuple):
    """A file to decode.

    Attributes:
        file: at its beginning.
        orientation: of EXIF or XMP, 1 to 8, where the decoder cannot know it any more; else 1.
    """

    file: BinaryIO
    orientation: int = 1


def without_metadata(file: BinaryIO) -> Pixels:
    """The file of an image without metadata, if its kind can carry much of them.

    Args:
        file: at its beginning.

    Raises:
        ValueError: if the file is cut short.
    """
    head = file.read(8)
    file.seek(0)
    if head == PNG_SIGNATURE:
        return _png(file.read())
    if head.startswith(b"\xff\xd8\xff"):
        return _jpeg(file.read())
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return Pixels(_tiff(bytearray(file.read())))
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return Pixels(_gif(file.read()))
    return Pixels(file)


def _png(data: bytes) -> Pixels:
    """All IDAT chunks as one: Pillow does Python work for each."""
    kept: list[tuple[bytes, bytes]] = []
    pixels: list[memoryview] = []
    orientation = 1
    view = memoryview(data)
    at = len(PNG_SIGNATURE)
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind = data[at + 4 : at + 8]
        body = view[at + 8 : at + 8 + length]
        if kind == b"IDAT":
            pixels.append(body)
        elif kind == b"IEND":
            break
        elif kind == b"eXIf":
            orientation = orientation_of_exif(bytes(body))
        elif kind in _PNG_KEPT and not pixels:
            kept.append((kind, data[at + 8 : at + 12 + length]))  # with its checksum
        at += 12 + length
    clean = io.BytesIO()
    clean.write(PNG_SIGNATURE)
    for kind, rest in kept:
        clean.write(struct.pack(">I", max(0, len(rest) - 4)) + kind)
        clean.write(rest)
    clean.write(struct.pack(">I", sum(map(len, pixels))) + b"IDAT")
    for body in pixels:
        clean.write(body)
    clean.write(bytes(4))  # Pillow does not look at the checksum of IDAT; zlib has its own
    clean.write(b"\x00\x00\x00\x00IEND\xaeB`\x82")
    clean.seek(0)
    return Pixels(clean, orientation)


def _jpeg(data: bytes) -> Pixels:
    clean = io.BytesIO()
    clean.write(data[:2])
    exif, xmp = b"", b""
    at = 2
    while True:
        found = _MARKER.search(data, at)
        if found is None or found.end() + 2 > len(data):
            raise ValueError("the file is cut short")
        at, marker = found.start(), data[found.start() + 1]
        if marker == _START_OF_SCAN:
            clean.write(memoryview(data)[at:])
            break
        end = at + 2 + max(2, struct.unpack_from(">H", data, at + 2)[0])
        if marker not in _METADATA:
            clean.write(memoryview(data)[at:end])
        elif marker == _APP1:
            body = data[at + 4 : end]
            exif = exif or (body if body.startswith(_EXIF) else b"")
            xmp = xmp or (body if body.startswith(_XMP) else b"")
        at = end
    clean.seek(0)
    return Pixels(clean, orientation_of_exif(exif) if exif else orientation_of_xmp(xmp))


def _gif(data: bytes) -> BinaryIO:
    """Without the comments and applications' blocks before the first picture."""
    at = 13
    if len(data) > at and data[10] & 0x80:  # a palette for all pictures
        at += 3 << ((data[10] & 7) + 1)
    clean = io.BytesIO()
    clean.write(data[:at])
    while at + 2 < len(data) and data[at] == _GIF_EXTENSION:
        end = at + 2
        while end < len(data) and data[end]:  # blocks of up to 255 bytes, the last is empty
            end += 1 + data[end]
        end += 1
        if data[at + 1] == _GIF_CONTROL:
            clean.write(data[at:end])
        at = end
    clean.write(memoryview(data)[at:])
    clean.seek(0)
    return clean


def _tiff(data: bytearray) -> BinaryIO:
    """The first picture, with the tags that pixels need."""
    order = "<" if data[:1] == b"I" else ">"
    big = 43 in (data[2], data[3])
    count_code, entry_size, inline = ("Q", 20, 8) if big else ("H", 12, 4)
    try:
        (start,) = struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, 8 if big else 4)
        (count,) = struct.unpack_from(order + count_code, data, start)
        first = start + struct.calcsize(order + count_code)
        end = first + count * entry_size
        if end > len(data):
            raise ValueError("the file is cut short")
        kept = []
        for at in range(first, end, entry_size):
            tag, kind, values = struct.unpack_from(f"{order}HH{'Q' if big else 'I'}", data, at)
            if tag not in _TIFF_KEPT:
                continue
            size = values * _TIFF_SIZES.get(kind, 1)
            where = at + entry_size - inline
            if size > inline:
                (where,) = struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, where)
            if where + size > len(data):
                raise ValueError("the file is cut short")
            kept.append(bytes(data[at : at + entry_size]))
    except struct.error:
        raise ValueError("the file is cut short") from None
    struct.pack_into(order + count_code, data, start, len(kept))
    body = b"".join(kept) + bytes(inline)  # no next picture
    data[first : first + len(body)] = body
    return io.BytesIO(data)


def orientation_of_exif(exif: bytes) -> int:
    """The orientation of an EXIF block, 1 to 8; 1 where it says nothing that can be understood."""
    tiff = exif[len(_EXIF) :] if exif.startswith(_EXIF) else exif
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or len(tiff) < 8:
        return 1
    (start,) = struct.unpack_from(order + "I", tiff, 4)
    if start + 2 > len(tiff):
        return 1
    (count,) = struct.unpack_from(order + "H", tiff, start)
    last = min(start + 2 + 12 * count, len(tiff) - 11)
    for at in range(start + 2, last, 12):
        tag, kind, values = struct.unpack_from(order + "HHI", tiff, at)
        if tag == _ORIENTATION and kind in (3, 4) and values == 1:
            (found,) = struct.unpack_from(order + {3: "H", 4: "I"}[kind], tiff, at + 8)
            return found if 1 <= found <= 8 else 1
    return 1


def orientation_of_xmp(xmp: bytes) -> int:
    """The orientation of an XMP block, 1 to 8; 1 where it says none."""
    found = re.search(rb'tiff:Orientation(?:="|>)([1-8])', xmp)
    return int(found.group(1)) if found else 1
