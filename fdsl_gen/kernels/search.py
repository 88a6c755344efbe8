"""Looking for systems whose attractor fills the image."""

import numpy as np

from fdsl_gen.core.jit import kernel

DIVERGED = -1


@kernel
def fill_points(affine_N6, maps_T, side_pad, needed, foreground):
    """Pixels that the points of a trajectory light, or DIVERGED if one of them is not finite.

    Args:
        affine_N6: coefficients a b c d e f.
        maps_T: map after every point, uint8 (P - 1,).
        side_pad: side of the image and its border, pixels, int64 (2,).
        needed: least number of foreground pixels; counting stops when it cannot be reached any
            more.
        foreground: work space, uint8 (side, side).

    Returns:
        The number of foreground pixels; less than ``needed`` and not exact if that was not reached.
    """
    low_x = high_x = low_y = high_y = x = y = 0.0
    for t in range(maps_T.shape[0]):
        affine = affine_N6[maps_T[t]]
        next_x = affine[0] * x + affine[1] * y + affine[4]
        y = affine[2] * x + affine[3] * y + affine[5]
        x = next_x
        if not (abs(x) + abs(y) < np.inf):
            return DIVERGED
        low_x = min(low_x, x)
        high_x = max(high_x, x)
        low_y = min(low_y, y)
        high_y = max(high_y, y)
    extent_x = high_x - low_x
    extent_y = high_y - low_y
    if not (extent_x + extent_y < np.inf):
        return DIVERGED
    if extent_x == 0.0:
        extent_x = 1.0
    if extent_y == 0.0:
        extent_y = 1.0
    side = float(side_pad[0] - 2 * side_pad[1])
    pad = float(side_pad[1])
    foreground[:] = 0
    x = 0.0
    y = 0.0
    count = 0
    for t in range(maps_T.shape[0] + 1):
        column = int((x - low_x) / extent_x * side + pad)
        row = int((y - low_y) / extent_y * side + pad)
        if foreground[row, column] == 0:
            foreground[row, column] = 1
            count += 1
        if t == maps_T.shape[0] or count + maps_T.shape[0] - t < needed:
            break
        affine = affine_N6[maps_T[t]]
        next_x = affine[0] * x + affine[1] * y + affine[4]
        y = affine[2] * x + affine[3] * y + affine[5]
        x = next_x
    return count
