"""A real image as input: reading and preparing it.

What counts is the *prepared* image: decoded, turned as its EXIF data say, cropped to a central
square, over black where it is transparent, resized bilinearly. Its sha256 is in the identity of a
dataset, so it does not matter which version of a decoder read the original.
"""

import warnings
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.image_files import read_image


def source_image_digest(image: NDArray[np.uint8]) -> str:
    """sha256 of the pixels of a prepared image."""
    return sha256(image.tobytes()).hexdigest()


def read_source_image(path: str, side: int) -> NDArray[np.uint8]:
    """Read and prepare an image, uint8 (side, side, 3).

    Raises:
        UsageError: if it is not there or cannot be read.
    """
    try:
        changed = Path(path).stat().st_mtime_ns
    except OSError as error:
        raise UsageError(f"source: cannot read the image {path}: {error.strerror}") from None
    return _read(path, changed, side)


@lru_cache(maxsize=2)
def _read(path: str, changed: int, side: int) -> NDArray[np.uint8]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of cutting a large but bearable image
            prepared = _prepare(read_image(Path(path)), side)
    except UsageError as error:
        raise UsageError(f"source: {error}") from None
    prepared.flags.writeable = False
    return prepared


def _prepare(image: Image.Image, side: int) -> NDArray[np.uint8]:
    width, height = image.size
    least = min(width, height)
    left, top = (width - least) // 2, (height - least) // 2
    square = _as_rgb(image.crop((left, top, left + least, top + least)))
    if least != side:
        square = square.resize((side, side), Image.Resampling.BILINEAR)
    return np.array(square)


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("LA", "RGBA"):
        layers = np.asarray(image.convert("RGBA")).astype(np.int64)
        over_black = (layers[:, :, :3] * layers[:, :, 3:] + 127) // 255
        return Image.fromarray(over_black.astype(np.uint8))
    return image.convert("RGB")


def to_gray(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Luma of ITU-R BT.601 in integers, uint8 (S, S); gray images keep their levels."""
    red, green, blue = np.moveaxis(image.astype(np.int64), 2, 0)
    luma: NDArray[np.int64] = (red * 19595 + green * 38470 + blue * 7471 + 32768) >> 16
    return luma.astype(np.uint8)
