"""Power maps in space, and the camera of their pictures: numbers, no pixels.

A rule is nine bits, three for each coordinate: sine instead of cosine, n theta instead of n phi,
minus instead of plus.
"""

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.kernels.elementary import cos, sin

_DISTANCE = 2.5  # of the eye from the origin


def row(power: int, rule: int) -> list[int]:
    """What :func:`fdsl_gen.kernels.mandelbulb.march` wants to know of a map.

    Args:
        power: n.
        rule: 0 .. 511, the most significant bit first.

    Returns:
        Power; for x, y, z which of cos n phi, sin n phi, cos n theta, sin n theta; their signs.
    """
    bits = [rule >> (8 - k) & 1 for k in range(9)]
    sources = [2 * bits[k + 1] + bits[k] for k in (0, 3, 6)]
    signs = [1 - 2 * bits[k + 2] for k in (0, 3, 6)]
    return [power, *sources, *signs]


def _turned(vector: tuple[float, float, float], tilt: float, turn: float) -> list[float]:
    """A vector turned about the x axis, then about the z axis; angles in radians."""
    x, y, z = vector
    y, z = cos(tilt) * y - sin(tilt) * z, sin(tilt) * y + cos(tilt) * z
    return [cos(turn) * x - sin(turn) * y, sin(turn) * x + cos(turn) * y, z]


def view(latitude: float, longitude: float) -> NDArray[np.float64]:
    """Eye, direction of view (to the origin), up and right, float64 (4, 3); angles in radians."""
    ahead = _turned((0.0, -1.0, 0.0), latitude, longitude)
    up = _turned((0.0, 0.0, 1.0), latitude, longitude)
    right = [ahead[k - 2] * up[k - 1] - ahead[k - 1] * up[k - 2] for k in range(3)]
    return np.array([[-_DISTANCE * value for value in ahead], ahead, up, right])
