"""Points into bit images: one bit a pixel, 32 kB for 512x512, which stays in the first cache.

A canvas is uint64 (rows * words,): row y begins at word y * words, and column x is bit x & 63 of
word x >> 6. A row has one word more than it needs, so that a stamp may reach over. Pixels are given
as y * stride + x, where the stride is 64 * words: the number of their bit.
"""

import numpy as np

from fdsl_gen.core.jit import kernel
from fdsl_gen.kernels.rng import word

MASKS_PER_WORD = 7  # 9-bit masks in a 64-bit word
_SPARE = np.uint64(2**32)  # words from here on replace masks that came out empty
_MASK = np.uint64(511)
_ROW = np.uint64(7)
_0, _1, _3, _6, _9, _61, _63, _64 = (np.uint64(n) for n in (0, 1, 3, 6, 9, 61, 63, 64))


def canvas_words(width: int) -> int:
    """64-bit words in a row of a canvas."""
    return (width + 63) // 64 + 1


def canvas_stride(width: int) -> np.int32:
    """Bits in a row of a canvas."""
    return np.int32(64 * canvas_words(width))


@kernel
def _stamp(canvas, words, pixel, mask):
    """Put a 3x3 block one pixel right of and below ``pixel``: mask bits row by row, lowest first.

    Bits of the mask that are 0 erase. The three rows are written without a branch, and again in the
    rare case that they reach into the next word: 0.34 ms for 100,000 stamps against 0.52 ms with a
    branch between the two cases.
    """
    bit = np.uint64(pixel) + (words << _6) + _1
    first = bit >> _6
    second = first + words
    third = second + words
    row_1 = mask & _ROW
    row_2 = (mask >> _3) & _ROW
    row_3 = mask >> _6
    shift = bit & _63
    keep = ~(_ROW << shift)
    canvas[first] = (canvas[first] & keep) | (row_1 << shift)
    canvas[second] = (canvas[second] & keep) | (row_2 << shift)
    canvas[third] = (canvas[third] & keep) | (row_3 << shift)
    if shift > _61:
        shift = _64 - shift
        keep = ~(_ROW >> shift)
        canvas[first + _1] = (canvas[first + _1] & keep) | (row_1 >> shift)
        canvas[second + _1] = (canvas[second + _1] & keep) | (row_2 >> shift)
        canvas[third + _1] = (canvas[third + _1] & keep) | (row_3 >> shift)


@kernel
def _spare_mask(key_2, t):
    """The mask of point t when its own came out empty."""
    bits = word(key_2, _SPARE + np.uint64(t))
    for _ in range(MASKS_PER_WORD):
        if bits & _MASK != _0:
            break
        bits >>= _9
    return max(bits & _MASK, _1)


@kernel
def _stamp_lane(pixel_T, start, key_2, words, canvas):
    bits = _0
    counter = np.uint64(start // MASKS_PER_WORD)
    left = 0
    for t in range(pixel_T.shape[0]):
        if left == 0:
            bits = word(key_2, counter)
            counter += _1
            left = MASKS_PER_WORD
        left -= 1
        mask = bits & _MASK
        bits >>= _9
        if mask == _0:
            mask = _spare_mask(key_2, start + t)
        _stamp(canvas, words, pixel_T[t], mask)


@kernel
def stamp_patches(pixel_TL, kept_L, start, key_L2, words, canvas_L):
    """Stamp a random mask of U{1..511} for every point, later points over earlier ones.

    Mask t is 9 bits of word t // 7 of the lane's stream, taken from the lowest up.

    Args:
        pixel_TL: row * stride + column, int32.
        kept_L: how many of these points are drawn, int64.
        start: number of the first of these points in its trajectory, a multiple of 7.
        key_L2: keys of the masks, uint64.
        words: words in a row of a canvas, uint64.
        canvas_L: canvases, uint64 (L, rows * words), changed.
    """
    for lane in range(pixel_TL.shape[1]):
        pixel_T = pixel_TL[: kept_L[lane], lane]
        _stamp_lane(pixel_T, start, key_L2[lane], words, canvas_L[lane])


@kernel
def stamp_blocks(pixel_TL, kept_L, words, canvas_L):
    """Fill the 3x3 block of every point; arguments as in :func:`stamp_patches`."""
    for lane in range(pixel_TL.shape[1]):
        for t in range(kept_L[lane]):
            _stamp(canvas_L[lane], words, pixel_TL[t, lane], _MASK)


@kernel
def set_points(pixel_TL, kept_L, canvas_L):
    """Set the pixel of every point; arguments as in :func:`stamp_patches`."""
    for lane in range(pixel_TL.shape[1]):
        for t in range(kept_L[lane]):
            bit = np.uint64(pixel_TL[t, lane])
            canvas_L[lane, bit >> _6] |= _1 << (bit & _63)


@kernel
def stamp_shades(pixel_T, stride, mode, key_2, shade_HW):
    """Draw points in shades 1 + t mod 128 into bytes; the masks are those of :func:`stamp_patches`.

    Args:
        pixel_T: row * stride + column, int32.
        stride: int32.
        mode: 0 random patches, 1 full blocks, 2 pixels.
        key_2: key of the masks.
        shade_HW: uint8, changed.
    """
    bits = _0
    for t in range(pixel_T.shape[0]):
        shade = 1 + t % 128
        row = pixel_T[t] // stride
        column = pixel_T[t] % stride
        if mode == 2:
            shade_HW[row, column] = shade
            continue
        mask = _MASK
        if mode == 0:
            if t % MASKS_PER_WORD == 0:
                bits = word(key_2, np.uint64(t // MASKS_PER_WORD))
            mask = bits & _MASK
            bits >>= _9
            if mask == _0:
                mask = _spare_mask(key_2, t)
        for k in range(9):
            foreground = (mask >> np.uint64(k)) & _1
            shade_HW[row + 1 + k // 3, column + 1 + k % 3] = shade if foreground else 0
