"""Gray pictures of more than 8 bits as 8 bits.

Levels of integers scale by the full range of their type, those of floats by 1, both with rounding.
Pillow's own conversion clips at 255 instead.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF
_WHITE_IS_ZERO = 0
_SIGNED = 2
_FULL_16 = 65535


def is_deep(image: Image.Image) -> bool:
    """Whether it is gray with levels beyond 8 bits, or with signed levels."""
    return image.mode[0] in "IF" or (image.mode == "L" and _tag(image, _SAMPLE_FORMAT) == _SIGNED)


def to_8_bits(image: Image.Image) -> Image.Image:
    """A deep gray picture as mode ``L``, or ``LA`` where one of its levels is transparent.

    Args:
        image: as Pillow opened it; a TIFF says the type of its levels in its tags.

    Raises:
        ValueError: if levels are negative, floats outside 0..1, or so dark in 32 bits that nothing
            would be left of them; the sentence lacks a subject.
    """
    levels = np.asarray(image)
    gray = _from_floats(levels) if image.mode == "F" else _from_integers(image, levels)
    if _tag(image, _PHOTOMETRIC) == _WHITE_IS_ZERO and image.mode != "L":  # Pillow inverts 8 bits
        gray = 255 - gray
    found = Image.fromarray(gray)
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        found.putalpha(Image.fromarray(np.where(levels == clear, np.uint8(0), np.uint8(255))))
    return found


def _from_floats(levels: NDArray[np.float32]) -> NDArray[np.uint8]:
    low, high = float(levels.min()), float(levels.max())
    if not (low >= 0 and high <= 1):  # also of NaN
        raise ValueError(
            f"it has floating-point levels from {low:g} to {high:g}; only levels from 0 to 1 can be"
            " read: divide them by their full range, or save 8 or 16 bits"
        )
    gray: NDArray[np.uint8] = np.rint(levels * np.float32(255)).astype(np.uint8)
    return gray


def _from_integers(image: Image.Image, levels: NDArray[Any]) -> NDArray[np.uint8]:
    full, levels = _range_of(image, levels)
    low, high = int(levels.min()), int(levels.max())
    if low < 0:
        raise ValueError(f"it has negative gray levels, down to {low}; save levels from 0 on")
    if full > _FULL_16:
        if high <= _FULL_16:  # 16 bits kept in 32, as many programs do
            full = _FULL_16
        elif 510 * high < full:
            raise ValueError(
                f"it has 32 bits a pixel and no level above {high}, which is black to 8 bits; scale"
                f" its levels to 0..{full}, or save 16 bits"
            )
    if full == _FULL_16:  # the usual case, by a table
        table = (np.arange(_FULL_16 + 1, dtype=np.uint32) * 255 + _FULL_16 // 2) // _FULL_16
        gray: NDArray[np.uint8] = table.astype(np.uint8)[levels.astype(np.uint16)]
        return gray
    scaled: NDArray[np.uint64] = (levels.astype(np.uint64) * 255 + full // 2) // full
    return scaled.astype(np.uint8)


def _range_of(image: Image.Image, levels: NDArray[Any]) -> tuple[int, NDArray[Any]]:
    """The highest level that the type can hold, and the levels as numbers of this type."""
    if image.mode.startswith("I;16"):
        bits = _tag(image, _BITS)
        return (1 << bits) - 1 if bits in (12, 16) else _FULL_16, levels
    if getattr(image, "format", None) == "PPM":  # Pillow scales PGM of any range to this one
        return _FULL_16, levels
    bits = _tag(image, _BITS) or 32
    if _tag(image, _SAMPLE_FORMAT) == 1:
        return (1 << bits) - 1, levels.view(np.uint32)
    return (1 << (bits - 1)) - 1, levels.view(np.int8) if bits == 8 else levels


def _tag(image: Image.Image, number: int) -> int | None:
    """The first value of a tag of a TIFF file; None if it is another file or has no such tag."""
    value = getattr(image, "tag_v2", {}).get(number)
    first = value[0] if isinstance(value, tuple) and value else value
    return first if isinstance(first, int) else None
