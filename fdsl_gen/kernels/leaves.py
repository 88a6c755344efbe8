"""Dead leaves: shapes over shapes until nothing behind them is seen.

Shapes: H x H pixels, T sizes.
"""

import numpy as np

from fdsl_gen.core.jit import kernel
from fdsl_gen.kernels.elementary import cos, sin
from fdsl_gen.kernels.rng import unit, word

DISC, SQUARE, RECTANGLE = 0, 1, 2
_WORDS = 9  # of a leaf
_TURN = 6.283185307179586


@kernel
def draw_leaves(key_2, family, radius_T, most, image_HH3):
    """Lay leaves under leaves until the image is full.

    Drawn from the top: a pixel belongs to the first leaf that covers its middle, which gives the
    same picture as laying later leaves over earlier ones, and ends by itself.

    Args:
        key_2: key; leaf n takes nine words from word 9 n on.
        family: ``DISC``, ``SQUARE`` (upright), ``RECTANGLE`` (turned, sides 1 : 1/4..1), or any of
            them for each leaf if it is 3.
        radius_T: equally likely radii, pixels, float64.
        most: leaves at most; what they leave uncovered stays black.
        image_HH3: output, uint8.

    Returns:
        Number of leaves.
    """
    side = image_HH3.shape[0]
    image_HH3[:] = 0
    empty_HH = np.ones((side, side), np.bool_)
    left = side * side
    draw = np.empty(_WORDS)
    for n in range(most):
        for k in range(_WORDS):
            draw[k] = unit(word(key_2, np.uint64(_WORDS * n + k)))
        shape = min(int(draw[0] * 3.0), 2) if family == 3 else family
        radius = radius_T[int(draw[1] * radius_T.shape[0])]
        x = draw[2] * (side + 2.0 * radius) - radius
        y = draw[3] * (side + 2.0 * radius) - radius
        red = np.uint8(draw[4] * 256.0)
        green = np.uint8(draw[5] * 256.0)
        blue = np.uint8(draw[6] * 256.0)
        cosine = 1.0
        sine = 0.0
        tall = radius
        reach = radius
        if shape == RECTANGLE:
            cosine = cos(draw[7] * _TURN)
            sine = sin(draw[7] * _TURN)
            tall = radius * (0.25 + 0.75 * draw[8])
            reach = np.sqrt(radius * radius + tall * tall)
        for row in range(max(int(y - reach), 0), min(int(y + reach) + 1, side)):
            dy = row + 0.5 - y
            for column in range(max(int(x - reach), 0), min(int(x + reach) + 1, side)):
                if not empty_HH[row, column]:
                    continue
                dx = column + 0.5 - x
                if shape == DISC:
                    inside = dx * dx + dy * dy <= radius * radius
                else:
                    along = abs(dx * cosine + dy * sine)
                    across = abs(dy * cosine - dx * sine)
                    inside = along <= radius and across <= tall
                if inside:
                    empty_HH[row, column] = False
                    left -= 1
                    image_HH3[row, column, 0] = red
                    image_HH3[row, column, 1] = green
                    image_HH3[row, column, 2] = blue
        if left == 0:
            return n + 1
    return most
