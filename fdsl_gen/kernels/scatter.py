"""Many draws at once: integers, and lines at random places.

Shapes: M segments x0 y0 x1 y1.
"""

import numpy as np

from fdsl_gen.core.jit import kernel
from fdsl_gen.kernels.elementary import cos, sin
from fdsl_gen.kernels.rng import unit, word

_TURN = 6.283185307179586


@kernel
def sample_integers(key_2, start, span, value_M):
    """Draws of U{0..span}, exact by rejection: what ``keys.Stream.integer`` would give.

    Args:
        key_2: key.
        start: first word of its stream, int64; the upper bits of a word are the value, and those
            above ``span`` are passed over.
        span: greatest value, int64, 0 .. 2**31; for 0 no word is looked at.
        value_M: output, int64.
    """
    if span == 0:  # a shift by 64 bits is undefined
        value_M[:] = 0
        return
    bits = 0
    while span >> bits:
        bits += 1
    shift = np.uint64(64 - bits)
    counter = start
    for m in range(value_M.shape[0]):
        value = span + 1
        while value > span:
            value = np.int64(word(key_2, np.uint64(counter)) >> shift)
            counter += 1
        value_M[m] = value


@kernel
def scatter_segments(key_2, size_2, segment_M4):
    """Segments between points that are uniform over the canvas; four words each.

    Args:
        key_2: key.
        size_2: width and height, float64.
        segment_M4: output, truncated, int64.
    """
    for m in range(segment_M4.shape[0]):
        for k in range(4):
            place = unit(word(key_2, np.uint64(4 * m + k))) * size_2[k % 2]
            segment_M4[m, k] = np.int64(place)


@kernel
def scatter_strokes(key_2, size_2, length_2, segment_M4):
    """Segments of random place, direction and length; four words each.

    Args:
        key_2: key.
        size_2: width and height of the canvas, over which their first points are uniform, float64.
        length_2: least and greatest length, float64.
        segment_M4: output, truncated toward zero, int64.
    """
    low, high = length_2
    for m in range(segment_M4.shape[0]):
        x = unit(word(key_2, np.uint64(4 * m))) * size_2[0]
        y = unit(word(key_2, np.uint64(4 * m + 1))) * size_2[1]
        angle = unit(word(key_2, np.uint64(4 * m + 2))) * _TURN
        length = low + (high - low) * unit(word(key_2, np.uint64(4 * m + 3)))
        segment_M4[m, 0] = np.int64(x)
        segment_M4[m, 1] = np.int64(y)
        segment_M4[m, 2] = np.int64(x + length * cos(angle))
        segment_M4[m, 3] = np.int64(y + length * sin(angle))
