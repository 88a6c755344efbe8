"""Interference of gratings, in three phases for three colors.

Shapes: H x W pixels, M gratings.
"""

import numpy as np

from fdsl_gen.core.jit import kernel

STEPS = 4096  # of a turn


@kernel
def draw_gratings(grating_M8, product, cosine_T, image_HH3):
    """Draw the product or the sum of gratings.

    Args:
        grating_M8: float64: 1 if circular, else 0; waves across the image along x and along y of a
            straight one; center x and y and waves across the image of a circular one, in sides of
            the image; phase and step of the phase from red to green to blue, in turns.
        product: whether to multiply; else the gratings are added.
        cosine_T: cosines of the ``STEPS`` equal steps of a turn.
        image_HH3: output, uint8: 0 .. 255 for -1 .. 1, of a sum divided by M.
    """
    side = image_HH3.shape[0]
    count = grating_M8.shape[0]
    line_3W = np.empty((3, side))
    turn_W = np.empty(side)
    for row in range(side):
        y = (row + 0.5) / side
        for m in range(count):
            g = grating_M8[m]
            if g[0] > 0.0:
                dy = (y - g[4]) * (y - g[4])
                for column in range(side):
                    dx = (column + 0.5) / side - g[3]
                    turn_W[column] = np.sqrt(dx * dx + dy) * g[5]
            else:
                for column in range(side):
                    turn_W[column] = (column + 0.5) / side * g[1] + y * g[2]
            for c in range(3):
                shift = g[6] + c * g[7] + 1024.0  # whole turns, so that no turn is negative
                line_W = line_3W[c]
                for column in range(side):
                    turn = turn_W[column] + shift
                    wave = cosine_T[np.int64(turn * STEPS) & (STEPS - 1)]
                    before = line_W[column]
                    joined = before * wave if product else before + wave
                    line_W[column] = wave if m == 0 else joined
        scale = 127.5 if product else 127.5 / count
        for column in range(side):
            for c in range(3):
                image_HH3[row, column, c] = np.uint8(line_3W[c, column] * scale + 128.0)
