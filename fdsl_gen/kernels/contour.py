"""Rings that grow: the vertices of radial contours and of visual atoms.

Shapes: K contours one after another, Q vertices of each. Contour k + 1 is contour k with every
vertex moved, each coordinate with noise of its own.

One key gives all draws of a figure: word ``2 Q k + q`` of its stream is the abscissa of the noise
that moves x of vertex q into contour k, word ``2 Q k + Q + q`` that for y; grays take the words
from ``GRAYS`` on.
"""

import numpy as np

from fdsl_gen.core.jit import kernel
from fdsl_gen.kernels.elementary import cos, sin
from fdsl_gen.kernels.perlin import sample_perlin

GRAYS = 2**40


@kernel
def circle(step, cos_Q, sin_Q):
    """Cosine and sine of the angles ``step * q``."""
    for q in range(cos_Q.shape[0]):
        cos_Q[q] = cos(step * q)
        sin_Q[q] = sin(step * q)


@kernel
def wave(step, frequency, amplitude, wave_Q):
    """``amplitude * sin(theta * frequency)`` at the angles theta = ``step * q``."""
    for q in range(wave_Q.shape[0]):
        wave_Q[q] = amplitude * sin(step * q * frequency)


@kernel
def grow(ring_4Q, motion_3, key_2, first, center_2, point_2Q, pixel_K2Q):
    """Move the vertices outwards K times and note the pixels where they come to lie.

    Every time x -= cos(theta) (N - l) and y -= sin(theta) (N - l), where
    ``N = p lambda gain - lambda - wave_1 - wave_2`` with fresh noise p for each coordinate, in this
    order of operations.

    Args:
        ring_4Q: cos(theta), sin(theta) and two waves.
        motion_3: noise coefficient lambda, gain of the noise, ring offset l.
        key_2: key of the figure.
        first: number of the first of these contours in the figure.
        center_2: added when a vertex is noted, not to the vertex.
        point_2Q: vertices, moved.
        pixel_K2Q: output, truncated toward zero, int32.
    """
    contours, _, vertices = pixel_K2Q.shape
    noise_coefficient, gain, ring_offset = motion_3
    noise_Q = np.empty(vertices, np.float32)
    for k in range(contours):
        for axis in range(2):
            sample_perlin(key_2, np.uint64((2 * (first + k) + axis) * vertices), noise_Q)
            point_Q = point_2Q[axis]
            pixel_Q = pixel_K2Q[k, axis]
            for q in range(vertices):
                noise = np.float64(noise_Q[q]) * noise_coefficient * gain
                reach = noise - noise_coefficient - ring_4Q[2, q] - ring_4Q[3, q]
                point_Q[q] -= ring_4Q[axis, q] * (reach - ring_offset)
                pixel_Q[q] = np.int32(point_Q[q] + center_2[axis])
