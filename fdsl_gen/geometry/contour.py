"""Radial contours: numbers of vertices, rings, and the pixels of their growth.

Shapes: K contours of a figure, Q vertices of each, B contours of a block.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.keys import Key, Stream
from fdsl_gen.kernels import contour, scatter
from fdsl_gen.kernels.elementary import exp, log

FRAME = 512  # lengths in settings are pixels of an image of this side
_BLOCK = 16  # contours worked out at a time, so that their pixels stay in the cache
_RAREST = 1e-3  # part of the draws of a vertex count that must be usable


def check_vertex_range(mean: float, least: int, most: int) -> None:
    """Refuse a range of vertex counts that an exponential draw would hardly ever meet.

    Raises:
        UsageError: if less than one in a thousand draws of int(Exp(mean)) is least .. most.
    """
    usable = exp(-least / mean) - exp(-(most + 1) / mean)
    if usable < _RAREST:
        raise UsageError(
            f"num_vertices_mean: counts of mean {mean:g} are hardly ever between {least} and {most}"
        )


def exponential_count(stream: Stream, mean: float, least: int, most: int) -> int:
    """int(Exp(mean)), drawn until it is least .. most."""
    while True:
        count = int(-mean * log(1.0 - stream.uniform()))
        if least <= count <= most:
            return count


@dataclass(frozen=True, slots=True)
class Shape:
    """What all contours of a category have in common.

    Attributes:
        num_vertices: Q.
        noise_coefficient: lambda; Perlin noise is multiplied by it, pixels.
        noise_gain: factor of the noise again: 2 in radial contours, 1 in visual atoms.
        ring_offset: l, added to the radius with every contour, pixels.
        frequencies: waves of a turn; 0 means no wave.
        amplitudes: of these waves, pixels.
    """

    num_vertices: int
    noise_coefficient: float
    noise_gain: float
    ring_offset: float
    frequencies: tuple[int, int] = (0, 0)
    amplitudes: tuple[float, float] = (0.0, 0.0)


@lru_cache(maxsize=256)
def ring(shape: Shape, scale: float) -> NDArray[np.float64]:
    """cos and sin of the angles (2 pi / Q) q, and both waves in pixels, float64 (4, Q)."""
    ring_4Q = np.empty((4, shape.num_vertices))
    step = 2 * math.pi / shape.num_vertices
    contour.circle(step, ring_4Q[0], ring_4Q[1])
    for k in range(2):
        contour.wave(step, shape.frequencies[k], shape.amplitudes[k] * scale, ring_4Q[2 + k])
    return ring_4Q


def ellipse(
    shape: Shape, scale: float, radius: float, oval_rates: tuple[float, float]
) -> NDArray[np.float64]:
    """Vertices that a figure begins with, about 0, float64 (2, Q)."""
    stretch_21 = np.array(oval_rates)[:, None]
    point_2Q: NDArray[np.float64] = ring(shape, scale)[:2] * (radius * scale) * stretch_21
    return point_2Q


def grown(
    shape: Shape,
    scale: float,
    key: Key,
    point_2Q: NDArray[np.float64],
    center: tuple[float, float],
    num_contours: int,
) -> Iterator[NDArray[np.int32]]:
    """Pixels of the contours of a figure, in blocks, int32 (B, 2, Q).

    Args:
        shape: of its category.
        scale: pixels of the image for a pixel of the settings.
        key: of the figure.
        point_2Q: vertices it begins with, moved; they are not the first contour.
        center: added to vertices at the moment of drawing, pixels.
        num_contours: K.
    """
    ring_4Q = ring(shape, scale)
    motion = np.array(
        [shape.noise_coefficient * scale, shape.noise_gain, shape.ring_offset * scale]
    )
    middle = np.array(center)
    words = key.words
    for first in range(0, num_contours, _BLOCK):
        count = min(_BLOCK, num_contours - first)
        pixel_B2Q = np.empty((count, 2, shape.num_vertices), np.int32)
        contour.grow(ring_4Q, motion, words, first, middle, point_2Q, pixel_B2Q)
        yield pixel_B2Q


def grays(key: Key, count: int, greatest: int) -> NDArray[np.int64]:
    """Grays U{0..greatest} of the contours of a figure, int64 (count,)."""
    gray_K = np.empty(count, np.int64)
    scatter.sample_integers(key.words, contour.GRAYS, greatest, gray_K)
    return gray_K
