"""Array -> PNG bytes by ISA-L deflate, and the fast way back for files written here.

Three encodings, named in recipes: ``gray8`` (8-bit gray), ``rgb8`` (8-bit RGB) and ``compact``
(1-bit palette, for images of two levels). All rows use filter 0. The files are ordinary PNG
(W3C Portable Network Graphics Specification, second edition); Pillow, OpenCV and libpng read them.
"""

import io
import struct
from typing import Literal, cast

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray
from PIL import Image

from fdsl_gen.core.image_files import MAX_PIXELS, decode_image

Encoding = Literal["gray8", "rgb8", "compact"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GRAY, _RGB, _PALETTE = 0, 2, 3  # color types of the specification, section 11.2.2
_LEVEL = 1  # ISA-L level 2 gives the same bytes, level 3 takes twice the time
# isal declares it as an instance of Exception; it is a class
_INFLATE_ERROR = cast(type[Exception], isal_zlib.error)
_IEND = b"\x00\x00\x00\x00IEND\xaeB`\x82"


class WrongSize(ValueError):
    """An image of another size than it must have; both are said."""


def _chunk(kind: bytes, data: bytes) -> bytes:
    crc = isal_zlib.crc32(data, isal_zlib.crc32(kind))
    return b"".join((struct.pack(">I", len(data)), kind, data, struct.pack(">I", crc)))


def _assemble(
    width: int, height: int, depth: int, color_type: int, rows: NDArray[np.uint8], *extra: bytes
) -> bytes:
    """A file from packed rows, uint8 (height, bytes per row)."""
    filtered = np.zeros((height, rows.shape[1] + 1), np.uint8)  # column 0: filter type 0
    filtered[:, 1:] = rows
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    data = isal_zlib.compress(filtered, _LEVEL)
    return b"".join((_SIGNATURE, _chunk(b"IHDR", header), *extra, _chunk(b"IDAT", data), _IEND))


def encode(image: NDArray[np.uint8], encoding: Encoding, white: int = 255) -> bytes:
    """PNG bytes of an image.

    Args:
        image: uint8 (H, W) gray or (H, W, 3) RGB.
        encoding: ``gray8`` and ``compact`` take gray only; ``rgb8`` takes both.
        white: the level other than 0, for ``compact``.

    Raises:
        ValueError: if the image cannot be stored in this encoding without loss.
    """
    height, width = image.shape[:2]
    if encoding == "rgb8":
        color = image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)
        return _assemble(width, height, 8, _RGB, color.reshape(height, 3 * width))
    if image.ndim != 2:
        raise ValueError(f"{encoding} holds gray images, not one of shape {image.shape}")
    if encoding == "gray8":
        return _assemble(width, height, 8, _GRAY, image)
    foreground = image == white
    if not np.array_equal(foreground, image != 0):
        raise ValueError(f"compact holds images of the levels 0 and {white} only")
    palette = _chunk(b"PLTE", bytes((0, 0, 0, white, white, white)))
    return _assemble(width, height, 1, _PALETTE, np.packbits(foreground, axis=1), palette)


def encode_any(image: NDArray[np.uint8]) -> bytes:
    """PNG bytes of an image, uint8 (H, W) or (H, W, 3), to be looked at."""
    return encode(image, "gray8" if image.ndim == 2 else "rgb8")


def _chunks(data: bytes) -> dict[bytes, bytes]:
    """Chunks of a file by kind, IDAT joined; ValueError if it is cut or a checksum is wrong."""
    if data[:8] != _SIGNATURE:
        raise ValueError("not a PNG file")
    found: dict[bytes, list[memoryview]] = {}
    view = memoryview(data)
    at = 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind = data[at + 4 : at + 8]
        end = at + 8 + length
        if end + 4 > len(data):
            break
        if isal_zlib.crc32(view[at + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise ValueError(f"the checksum of chunk {kind.decode('latin-1')} is wrong")
        found.setdefault(kind, []).append(view[at + 8 : end])
        if kind == b"IEND":
            if not {b"IHDR", b"IDAT"} <= found.keys():
                raise ValueError("the PNG file has no image in it")
            return {kind: b"".join(parts) for kind, parts in found.items()}
        at = end + 4
    raise ValueError("the PNG file is cut short")


def size_of(data: bytes) -> tuple[int, int]:
    """Height and width that the header of a PNG file says.

    Raises:
        ValueError: if it is no PNG file.
    """
    if data[:8] != _SIGNATURE or data[12:16] != b"IHDR" or len(data) < 24:
        raise ValueError("not a PNG file")
    width, height = struct.unpack_from(">II", data, 16)
    return height, width


def decode(data: bytes, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Pixels of a PNG: uint8 (H, W) where the file is gray or has a gray palette, else (H, W, 3).

    Files of :func:`encode` take the short way (inflate, drop the filter bytes); any other PNG goes
    through Pillow. No more memory is taken than the header says, whatever the data inflate to.

    Args:
        data: the file.
        size: height and width that it must have; None: any.

    Raises:
        ValueError: if the file is cut or damaged, has another size, or more pixels than an image
            file may.
    """
    chunks = _chunks(data)
    try:
        width, height, depth, color_type, *_, interlaced = struct.unpack(
            ">IIBBBBB", chunks[b"IHDR"]
        )
    except struct.error:
        raise ValueError("the PNG file has a wrong header") from None
    if size is not None and size != (height, width):
        raise WrongSize(f"{width}x{height} pixels, not {size[1]}x{size[0]}")
    if not 0 < width * height <= MAX_PIXELS:
        raise ValueError(f"the PNG file says that it is {width}x{height} pixels")
    ours = not interlaced and (depth, color_type) in ((8, _GRAY), (8, _RGB), (1, _PALETTE))
    if ours:
        stride = {_GRAY: width, _RGB: 3 * width, _PALETTE: (width + 7) // 8}[color_type]
        flat = _inflate(chunks[b"IDAT"], height * (stride + 1))
        rows = np.frombuffer(flat, np.uint8).reshape(height, stride + 1)
        if not rows[:, 0].any():
            return _unpack(rows[:, 1:], width, color_type, chunks.get(b"PLTE", b""))
    pixels = np.asarray(_without_alpha(decode_image(io.BytesIO(data))))
    if color_type == _PALETTE and (pixels == pixels[:, :, :1]).all():
        return np.ascontiguousarray(pixels[:, :, 0])
    return pixels


def _inflate(data: bytes, size: int) -> bytes:
    """``size`` bytes, exactly; not one more is made."""
    stream = isal_zlib.decompressobj()
    try:
        flat = stream.decompress(data, size)
        more = b"" if stream.eof else stream.decompress(stream.unconsumed_tail, 1)
    except _INFLATE_ERROR as error:
        raise ValueError(f"the PNG data is damaged: {error}") from None
    if len(flat) != size or more or not stream.eof:
        raise ValueError("the PNG data has the wrong length")
    return flat


def _unpack(
    rows: NDArray[np.uint8], width: int, color_type: int, palette: bytes
) -> NDArray[np.uint8]:
    if color_type == _GRAY:
        return np.ascontiguousarray(rows)
    if color_type == _RGB:
        return np.ascontiguousarray(rows).reshape(len(rows), width, 3)
    colors = np.frombuffer(palette, np.uint8).reshape(-1, 3)
    if len(colors) < 2:
        raise ValueError("the PNG file has no palette of two colors")
    pixels: NDArray[np.uint8] = colors[np.unpackbits(rows, axis=1, count=width)]
    return pixels[:, :, 0] if (colors == colors[:, :1]).all() else pixels


def _without_alpha(image: Image.Image) -> Image.Image:
    """As ``L`` where the file has gray levels alone, else as ``RGB``."""
    return image if image.mode in ("L", "RGB") else image.convert("RGB")
