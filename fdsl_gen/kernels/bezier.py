"""Bezier curves as polylines one pixel wide.

Shapes: M control points x y, image given flat with its width.
"""

import numpy as np

from fdsl_gen.core.jit import kernel
from fdsl_gen.kernels.line import draw_segment
from fdsl_gen.kernels.rng import unit, word

_LONGEST = 4.0  # pixels of a piece


@kernel
def sample_points(key_2, start, size, point_M2):
    """Points uniform over a square from words ``start ..`` (uint64); output float64."""
    for m in range(point_M2.shape[0]):
        for k in range(2):
            point_M2[m, k] = unit(word(key_2, start + np.uint64(2 * m + k))) * size


@kernel
def draw_curve(point_M2, value, width, canvas):
    """Draw the curve of M >= 2 control points in equal steps of its parameter.

    The speed is at most the degree times the longest step between control points, so that many
    pieces keep each below 4 pixels. Points by the scheme of Horner for Bernstein polynomials
    (G. Farin: "Curves and Surfaces for CAGD", section 5.7).
    """
    degree = point_M2.shape[0] - 1
    longest = 0.0
    for m in range(degree):
        dx = point_M2[m + 1, 0] - point_M2[m, 0]
        dy = point_M2[m + 1, 1] - point_M2[m, 1]
        longest = max(longest, np.sqrt(dx * dx + dy * dy))
    pieces = int(degree * longest / _LONGEST) + 1
    last_x = int(point_M2[0, 0])
    last_y = int(point_M2[0, 1])
    for piece in range(1, pieces + 1):
        t = piece / pieces
        s = 1.0 - t
        power = 1.0
        choices = 1.0
        x = point_M2[0, 0] * s
        y = point_M2[0, 1] * s
        for m in range(1, degree):
            power *= t
            choices = choices * (degree - m + 1) / m
            x = (x + power * choices * point_M2[m, 0]) * s
            y = (y + power * choices * point_M2[m, 1]) * s
        power *= t
        x += power * point_M2[degree, 0]
        y += power * point_M2[degree, 1]
        draw_segment(last_x, last_y, int(x), int(y), 1, value, width, canvas)
        last_x = int(x)
        last_y = int(y)
