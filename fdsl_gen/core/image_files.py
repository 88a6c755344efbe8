"""Image files of users: one reader for pictures that are drawn from and for those trained on.

Nothing is believed: only regular files are opened, only the formats named here are decoded, sizes
are checked before memory is taken, and broken metadata on sound pixels does not matter.
"""

import logging
import os
import stat
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from fdsl_gen.core import gray_levels
from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.image_containers import (
    orientation_of_exif,
    orientation_of_xmp,
    without_metadata,
)

T = TypeVar("T")

ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff", ".bmp"})
ENDINGS |= {".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".gif"}
# Of pictures that are not read: found among others, they are told of.
OTHER_ENDINGS = frozenset({".avif", ".avifs", ".heic", ".heif", ".hif", ".jxl", ".svg", ".psd"})
OTHER_ENDINGS |= {".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c", ".tga", ".exr", ".hdr", ".dds"}
OTHER_ENDINGS |= {".ico", ".dcm", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"}
KINDS = "PNG, JPEG, WebP, TIFF, BMP, PPM, PGM, PBM, PFM or GIF"
# The largest image that fdsl draws. Pillow keeps four bytes of a colored pixel, and a picture is in
# memory twice while it is read: some 500 MB at most.
MAX_PIXELS = 8192 * 8192
MAX_BYTES = 300_000_000  # such an image that is not compressed, and some room
# An allow-list: Pillow has some sixty formats, one of which (EPS) starts another program.
_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "PPM", "GIF")
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow logs what it finds odd in a file; without a handler Python prints that to stderr.
logging.getLogger("PIL").addHandler(logging.NullHandler())


def read_image(path: Path) -> Image.Image:
    """An image file, upright, 8 bits a channel: mode ``L``, ``LA``, ``RGB`` or ``RGBA``.

    Raises:
        UsageError: if it cannot be read; the sentence names the file.
    """
    return _read(path, "image", decode_image)


def read_levels(path: Path) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The numbers of a palette or gray image file as they stand there, (H, W); not turned.

    Raises:
        UsageError: if it cannot be read, or holds colors or other numbers; the sentence names the
            file.
    """
    return _read(path, "mask", lambda file: _decode(file, _levels_of))


def _read(path: Path, kind: str, decode: Callable[[BinaryIO], T]) -> T:
    try:
        with open_regular(path) as file:
            return decode(file)
    except ValueError as error:
        raise UsageError(f"cannot read the {kind} {path}: {error}") from None


def open_regular(path: Path) -> BinaryIO:
    """A file for reading; a pipe or a device is not even waited for.

    Raises:
        ValueError: why it cannot be opened, without the path.
    """
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ValueError(_not_opened(path, error)) from None
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise ValueError("it is not a regular file")
    return open(number, "rb")


def _not_opened(path: Path, error: OSError) -> str:
    if path.is_symlink() and not path.exists():
        return f"it is a link to {os.readlink(path)}, which is not there"
    return error.strerror or str(error)


def decode_image(file: BinaryIO) -> Image.Image:
    """The first picture of an image file; see :func:`read_image`.

    Raises:
        ValueError: why it cannot be decoded, as a part of a sentence.
    """
    return _decode(file, to_8_bits)


def _decode(file: BinaryIO, take: Callable[[Image.Image, int], T]) -> T:
    """What ``take`` makes of the first picture of a file, and of how it is to be turned.

    Raises:
        ValueError: why it cannot be decoded, as a part of a sentence.
    """
    if file.seek(0, os.SEEK_END) > MAX_BYTES:
        raise ValueError(f"the file has more than {MAX_BYTES:,} bytes")
    file.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large but bearable pictures, and odd palettes
            clean, orientation = without_metadata(file)
            with Image.open(clean, formats=_FORMATS) as opened:
                _check_size(opened)
                return take(opened, orientation)
    except UnidentifiedImageError:
        raise ValueError(f"it is damaged, or not a {KINDS} file") from None
    except Image.DecompressionBombError:
        raise ValueError(f"it has more than {MAX_PIXELS:,} pixels") from None
    except MemoryError:
        raise ValueError("there is not enough memory for it") from None
    except ValueError:
        raise
    except OSError as error:
        raise ValueError(error.strerror or _first_line(error)) from None
    except Exception as error:  # decoders raise many kinds for damaged files
        raise ValueError(f"it is damaged ({_first_line(error)})") from None


def _levels_of(image: Image.Image, _: int) -> NDArray[np.uint8] | NDArray[np.uint16]:
    if image.format in ("JPEG", "WEBP"):
        raise ValueError(f"{image.format} changes the numbers of pixels; masks are PNG files")
    image.load()
    if image.mode in ("P", "L"):
        return np.array(image)
    if image.mode == "1":
        return np.array(image).astype(np.uint8)
    if not image.mode.startswith("I"):
        raise ValueError(f"its mode is {image.mode}; masks are palette or gray images of integers")
    levels = np.array(image)
    if levels.min() < 0 or levels.max() > 65535:
        raise ValueError("its numbers are not within 0..65535")
    return levels.astype(np.uint16)


def to_8_bits(image: Image.Image, orientation: int = 1) -> Image.Image:
    """A Pillow image of any mode, upright, as ``L``, ``LA``, ``RGB`` or ``RGBA``.

    Args:
        image: of any mode.
        orientation: of EXIF or XMP, 1 to 8, where they are no longer with the image.

    Raises:
        ValueError: if its levels have no plain meaning in 8 bits.
    """
    image.load()  # a TIFF is upright from here on
    turn = _TURNS.get(orientation if orientation != 1 else _orientation(image))
    if gray_levels.is_deep(image):
        image = gray_levels.to_8_bits(image)
    elif image.has_transparency_data and image.mode not in ("LA", "RGBA"):
        image = image.convert("RGBA")
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode not in ("L", "LA", "RGB", "RGBA"):
        image = image.convert("RGB")
    elif turn is None:
        image = image.copy()  # without the file that it came from
    return image if turn is None else image.transpose(turn)


def _check_size(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"it has more than {MAX_PIXELS:,} pixels")


def _orientation(image: Image.Image) -> int:
    exif, xmp = image.info.get("exif"), image.info.get("xmp")
    if isinstance(exif, bytes):
        return orientation_of_exif(exif)
    return orientation_of_xmp(xmp) if isinstance(xmp, bytes) else 1


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
