"""Cameras that look at the origin from a distance of 4, up along +y."""

import math

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.core.keys import Stream
from fdsl_gen.kernels.elementary import cos, sin

DISTANCE = 4.0
_DEGREE = math.pi / 180


def on_sphere(stream: Stream) -> tuple[float, float, float]:
    """A direction that is uniform on the sphere: height U(-1, 1), longitude U(0, 360) degrees."""
    height = stream.uniform(-1.0, 1.0)
    longitude = stream.uniform(0.0, 2 * math.pi)
    ring = math.sqrt(1.0 - height * height)
    return ring * cos(longitude), height, ring * sin(longitude)


def on_ring(degrees: float) -> tuple[float, float, float]:
    """A direction in the plane y = 0: (-cos, 0, sin) of the angle."""
    angle = degrees * _DEGREE
    return -cos(angle), 0.0, sin(angle)


def look_from(direction: tuple[float, float, float]) -> NDArray[np.float64]:
    """Position, direction of view, right and up of a camera, float64 (4, 3).

    Args:
        direction: of length 1, from the origin to the camera; not along y.
    """
    x, y, z = direction
    forward = (-x, -y, -z)
    length = math.sqrt(z * z + x * x)
    right = (z / length, 0.0, -x / length)  # forward x (0, 1, 0)
    up = (
        right[1] * forward[2] - right[2] * forward[1],
        right[2] * forward[0] - right[0] * forward[2],
        right[0] * forward[1] - right[1] * forward[0],
    )
    return np.array([(DISTANCE * x, DISTANCE * y, DISTANCE * z), forward, right, up])
