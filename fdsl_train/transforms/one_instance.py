"""Other looks of the one image that a category has: random pattern and random texture.

Nakamura et al. (ICCV 2023, arXiv 2307.14710) name these augmentations of OFDB, which stand for the
instances that FractalDB renders. We had the names, not the text that defines them, and the released
code has neither; so both are ours, after what FractalDB varies. Pattern: every pixel above black is
stamped anew with one random 3x3 patch, like the points of a FractalDB image. Texture: gray levels
are multiplied by a smooth random field, so that the body is shaded and the black background stays.
"""

import random

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_PATCHES = 512  # of 3x3 pixels that are lit or not; number 0 has none lit
_CELLS = (2, 4, 8, 16, 32)  # of a texture, along each side
_DARKEST = 64  # level of a texture; the lightest is 255

Pixels = NDArray[np.uint8]


def stamp(pixels: Pixels, patch: int) -> Pixels:
    """Put a patch at every pixel; where several meet, the lightest is seen.

    Args:
        pixels: uint8 (H, W).
        patch: its nine bits, the most significant first, say which pixels are lit, row by row.
    """
    height, width = pixels.shape
    padded = np.pad(pixels, 1)
    stamped = np.zeros_like(pixels)
    for place in range(9):
        if patch >> (8 - place) & 1:
            down, right = divmod(place, 3)  # a pixel lights the one at (down - 1, right - 1) of it
            top, left = 2 - down, 2 - right
            np.maximum(stamped, padded[top : top + height, left : left + width], out=stamped)
    return stamped


def shade(pixels: Pixels, field: Pixels) -> Pixels:
    """Levels times those of a field of the same size, of 0..1: uint8 (H, W)."""
    product = pixels.astype(np.uint16) * field + 127
    return (product // 255).astype(np.uint8)


class OneInstance:
    """Draws pattern and texture, from Python's generator, which the loader sets from a key.

    Args:
        pattern, texture: their probabilities.
    """

    def __init__(self, pattern: float, texture: float) -> None:
        self._pattern, self._texture = pattern, texture

    def __call__(self, pixels: Pixels) -> Pixels:
        """uint8 (H, W) -> the same."""
        if self._pattern > 0 and random.random() < self._pattern:
            pixels = stamp(pixels, random.randrange(1, _PATCHES))
        if self._texture > 0 and random.random() < self._texture:
            side = random.choice(_CELLS)
            cells = np.frombuffer(random.randbytes(side * side), np.uint8).reshape(side, side)
            levels = _DARKEST + cells.astype(np.uint16) * (255 - _DARKEST) // 255
            height, width = pixels.shape
            field = Image.fromarray(levels.astype(np.uint8))
            smooth = field.resize((width, height), Image.Resampling.BICUBIC)
            pixels = shade(pixels, np.asarray(smooth))
        return pixels
