"""Clouds by the diamond-square method (Fournier, Fussell, Carpenter: "Computer rendering of
stochastic models", CACM 1982) with neighbors that wrap around.

Shapes: S x S points of the grid, S = 2**n + 1.
"""

import numpy as np

from fdsl_gen.core.jit import kernel
from fdsl_gen.kernels.elementary import exp
from fdsl_gen.kernels.rng import unit, word


@kernel
def _moved(mean, amplitude, uniform):
    """mean + U(-amplitude, amplitude)."""
    return mean + (-amplitude + 2.0 * amplitude * uniform)


@kernel
def _diamonds(step, amplitude, grid_SS):
    """Centers of cells: the mean of the four corners, moved."""
    last = grid_SS.shape[0] - 1
    for row in range(step, last, 2 * step):
        above = grid_SS[row - step]
        below = grid_SS[row + step]
        here = grid_SS[row]
        for column in range(step, last, 2 * step):
            left = column - step
            right = column + step
            mean = (above[left] + above[right] + below[left] + below[right]) * 0.25
            here[column] = _moved(mean, amplitude, here[column])


@kernel
def _squares(step, amplitude, grid_SS):
    """The other points: the mean of the four neighbors on the axes, moved."""
    last = grid_SS.shape[0] - 1
    for row in range(0, last + 1, step):
        above = grid_SS[row - step if row > 0 else last - step]
        below = grid_SS[row + step if row < last else step]
        here = grid_SS[row]
        for column in range(0 if (row // step) % 2 else step, last + 1, 2 * step):
            left = column - step if column > 0 else last - step
            right = column + step if column < last else step
            mean = (above[column] + here[left] + here[right] + below[column]) * 0.25
            here[column] = _moved(mean, amplitude, here[column])


@kernel
def grow_clouds(key_2, decay, grid_SS):
    """Heights of a cloud, about 0 to 1.

    Corners are U(0, 1). Level k = 1 .. n has the step 2**n / 2**k and the amplitude
    0.5 exp(decay (1 - k)).

    Ours: point (row, column) takes word ``row S + column`` of the stream; the four neighbors are
    added from top to bottom and from left to right. A neighbor beyond an edge is the one as far
    inside from the opposite edge.

    Args:
        key_2: key of the draws.
        decay: of the amplitude from level to level.
        grid_SS: output.
    """
    side = grid_SS.shape[0]
    grid = grid_SS.reshape(-1)
    for k in range(side * side):
        grid[k] = unit(word(key_2, np.uint64(k)))
    step = (side - 1) // 2
    level = 1
    while step > 0:
        amplitude = 0.5 * exp(decay * (1 - level))
        _diamonds(step, amplitude, grid_SS)
        _squares(step, amplitude, grid_SS)
        step //= 2
        level += 1
