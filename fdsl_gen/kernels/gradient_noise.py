"""Gradient noise in the plane.

Ken Perlin, "Improving Noise", SIGGRAPH 2002: a random gradient at every point of a lattice, and the
quintic fade between them. Ours: gradients of length 1 in any direction instead of a table.

Shapes: H x W pixels, a lattice of A x B points.
"""

import numpy as np

from fdsl_gen.core.jit import kernel
from fdsl_gen.kernels.elementary import cos, sin
from fdsl_gen.kernels.rng import unit, word

_TURN = 6.283185307179586


@kernel
def sample_gradients(key_2, gradient_2AB):
    """Directions U(0, 2 pi), one word each, row by row; output float64, x then y."""
    _, rows, columns = gradient_2AB.shape
    for a in range(rows):
        for b in range(columns):
            angle = unit(word(key_2, np.uint64(a * columns + b))) * _TURN
            gradient_2AB[0, a, b] = cos(angle)
            gradient_2AB[1, a, b] = sin(angle)


@kernel
def draw_noise(gradient_2AB, noise_HW):
    """The noise at the middles of all pixels, A - 1 cells down and B - 1 across; output float64."""
    height, width = noise_HW.shape
    down = gradient_2AB.shape[1] - 1
    across = gradient_2AB.shape[2] - 1
    for row in range(height):
        place = (row + 0.5) / height * down
        a = int(place)
        v = place - a
        fade_v = v * v * v * (v * (v * 6.0 - 15.0) + 10.0)
        for column in range(width):
            place = (column + 0.5) / width * across
            b = int(place)
            u = place - b
            fade_u = u * u * u * (u * (u * 6.0 - 15.0) + 10.0)
            north_west = gradient_2AB[0, a, b] * u + gradient_2AB[1, a, b] * v
            north_east = gradient_2AB[0, a, b + 1] * (u - 1.0) + gradient_2AB[1, a, b + 1] * v
            south_west = gradient_2AB[0, a + 1, b] * u + gradient_2AB[1, a + 1, b] * (v - 1.0)
            south_east = gradient_2AB[0, a + 1, b + 1] * (u - 1.0)
            south_east += gradient_2AB[1, a + 1, b + 1] * (v - 1.0)
            north = north_west + fade_u * (north_east - north_west)
            south = south_west + fade_u * (south_east - south_west)
            noise_HW[row, column] = north + fade_v * (south - north)


@kernel
def to_levels(noise_HW, image_HW):
    """Rescale to 0 .. 255, rounded; black where all values are the same. Output uint8."""
    low = np.inf
    high = -np.inf
    for row in range(noise_HW.shape[0]):
        for column in range(noise_HW.shape[1]):
            low = min(low, noise_HW[row, column])
            high = max(high, noise_HW[row, column])
    scale = 255.0 / (high - low) if high > low else 0.0
    for row in range(noise_HW.shape[0]):
        for column in range(noise_HW.shape[1]):
            image_HW[row, column] = np.uint8((noise_HW[row, column] - low) * scale + 0.5)
