"""Edges of a gray image after Canny, "A Computational Approach to Edge Detection", PAMI 1986.

Integers only: binomial smoothing 1 4 6 4 1 both ways, Sobel gradients, thinning along the nearest
of four directions, two thresholds. Pixels beyond the border repeat it.

Shapes: H W image.
"""

import numpy as np

from fdsl_gen.core.jit import kernel

SMOOTHED = 256  # sum of the smoothing weights: gradients are this many times those of gray levels
_BINOMIAL = (1, 4, 6, 4, 1)
_NO_EDGE, _WEAK, _EDGE = 0, 1, 255


@kernel
def _clamp(k, size):
    return min(max(k, 0), size - 1)


@kernel
def _smooth(image_HW, out_HW):
    """256 times the smoothed gray levels."""
    height, width = image_HW.shape
    for row in range(height):
        for column in range(width):
            total = 0
            for j in range(5):
                y = _clamp(row + j - 2, height)
                for i in range(5):
                    x = _clamp(column + i - 2, width)
                    total += _BINOMIAL[j] * _BINOMIAL[i] * int(image_HW[y, x])
            out_HW[row, column] = total


@kernel
def _gradient(smooth_HW, row, column):
    """Sobel's differences to the right and downwards."""
    height, width = smooth_HW.shape
    up, down = _clamp(row - 1, height), _clamp(row + 1, height)
    left, right = _clamp(column - 1, width), _clamp(column + 1, width)
    gx = smooth_HW[up, right] + 2 * smooth_HW[row, right] + smooth_HW[down, right]
    gx -= smooth_HW[up, left] + 2 * smooth_HW[row, left] + smooth_HW[down, left]
    gy = smooth_HW[down, left] + 2 * smooth_HW[down, column] + smooth_HW[down, right]
    gy -= smooth_HW[up, left] + 2 * smooth_HW[up, column] + smooth_HW[up, right]
    return gx, gy


@kernel
def _is_ridge(size_HW, gx, gy, row, column):
    """Whether no neighbor along the gradient is larger; of two equal ones the later is kept.

    A direction is nearer to an axis than to a diagonal where |gx| + |gy| < sqrt(2) max(|gx|, |gy|).
    """
    height, width = size_HW.shape
    ax, ay = abs(gx), abs(gy)
    if (ax + ay) * (ax + ay) < 2 * max(ax, ay) * max(ax, ay):
        dx, dy = (1, 0) if ax > ay else (0, 1)
    else:
        dx, dy = (1, 1) if (gx > 0) == (gy > 0) else (-1, 1)
    here = size_HW[row, column]
    before = size_HW[_clamp(row - dy, height), _clamp(column - dx, width)]
    after = size_HW[_clamp(row + dy, height), _clamp(column + dx, width)]
    return here >= before and here > after


@kernel
def find_edges(image_HW, thresholds_2, out_HW):
    """Edges as 255 on 0.

    Args:
        image_HW: gray levels, uint8.
        thresholds_2: |gx| + |gy| of edges that continue others, and of edges that begin, in gray
            levels, float64.
        out_HW: output, uint8.
    """
    height, width = image_HW.shape
    smooth_HW = np.empty((height, width), np.int64)
    size_HW = np.empty((height, width), np.int64)
    gradient_HW2 = np.empty((height, width, 2), np.int64)
    _smooth(image_HW, smooth_HW)
    for row in range(height):
        for column in range(width):
            gx, gy = _gradient(smooth_HW, row, column)
            gradient_HW2[row, column, 0] = gx
            gradient_HW2[row, column, 1] = gy
            size_HW[row, column] = abs(gx) + abs(gy)
    stack = np.empty((height * width, 2), np.int64)
    waiting = 0
    for row in range(height):
        for column in range(width):
            gx, gy = gradient_HW2[row, column]
            size = size_HW[row, column]
            out_HW[row, column] = _NO_EDGE
            if size > thresholds_2[0] * SMOOTHED and _is_ridge(size_HW, gx, gy, row, column):
                out_HW[row, column] = _WEAK
                if size > thresholds_2[1] * SMOOTHED:
                    out_HW[row, column] = _EDGE
                    stack[waiting, 0] = row
                    stack[waiting, 1] = column
                    waiting += 1
    while waiting:
        waiting -= 1
        row, column = stack[waiting]
        for y in range(max(row - 1, 0), min(row + 2, height)):
            for x in range(max(column - 1, 0), min(column + 2, width)):
                if out_HW[y, x] == _WEAK:
                    out_HW[y, x] = _EDGE
                    stack[waiting, 0] = y
                    stack[waiting, 1] = x
                    waiting += 1
    for row in range(height):
        for column in range(width):
            if out_HW[row, column] == _WEAK:
                out_HW[row, column] = _NO_EDGE
