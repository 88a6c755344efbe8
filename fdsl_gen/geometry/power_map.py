"""Power maps in space, and the camera of their pictures: numbers, no pixels.

A rule is nine bits, three for each coordinate: sine instead of cosine, n theta instead of n phi,
minus instead of plus.
"""

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.kernels.elementary import cos, log, sin

_DISTANCE = 2.5  # of the eye from the origin
_LEAST = 0.002  # twice the largest threshold of a distance


def row(power: int, rule: int, bent: bool = False) -> list[int]:
    """What :func:`fdsl_gen.kernels.mandelbulb.march` wants to know of a map.

    Args:
        power: n.
        rule: 0 .. 511, the most significant bit first.
        bent: whether theta is rounded as on the GPU that drew the released images.

    Returns:
        Power; for x, y, z which of cos n phi, sin n phi, cos n theta, sin n theta; their signs;
        whether bent.
    """
    bits = [rule >> (8 - k) & 1 for k in range(9)]
    sources = [2 * bits[k + 1] + bits[k] for k in (0, 3, 6)]
    signs = [1 - 2 * bits[k + 2] for k in (0, 3, 6)]
    return [power, *sources, *signs, int(bent)]


def ball(power: int, rule: int) -> tuple[float, float]:
    """A ball that rays need not be followed out of: squared radius, and the distances beyond it.

    If sine and cosine of one angle are among the coordinates, the power of a point at radius r is
    at least r^n from the origin. Where r^n - r is above 4, its orbit ends after one step, with a
    distance of at least d = 0.5 ln(4) (r^n - r) / (n r^n + 1), which grows with r. So a ray that
    stays out there is lost after (2 * 4) / d distances within the ball of radius 4 and 20 beyond
    it, each of which multiplies the radius by more than 1.6: it is 10,000 after less than 18.

    Returns:
        Infinity and infinity if there is no such ball.
    """
    sources = row(power, rule)[1:4]
    if not any({first, first + 1} <= set(sources) for first in (0, 2)):
        return np.inf, np.inf
    for radius in (1.0 + k / 64 for k in range(1, 192)):
        size = radius
        for _ in range(power - 1):
            size *= radius
        # The margins are far above what rounding may do.
        if size - radius > 4.01:
            least = log(2.0) * (size - radius) / (power * size + 1.0) * 0.99
            return (radius * radius, 8.0 / least + 20.0) if least > _LEAST else (np.inf, np.inf)
    raise AssertionError


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
