"""Iterated function systems in the plane: sampling, probabilities.

Shapes: N maps, 6 coefficients in the order a b c d e f (x' = a x + b y + e, y' = c x + d y + f).
"""

import math

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.errors import UsageError
from fdsl_gen.kernels.elementary import cos, sin
from fdsl_gen.seeding import Stream

_CLEARANCE = 1 - 2.0**-20  # a sigma-factor of 3 N itself would need singular values of 1


def sigma_range(low: float, high: float, num_maps: int) -> tuple[float, float]:
    """The part of [low, high] that is a possible sigma-factor of N maps: 0 < sigma < 3 N.

    Raises:
        UsageError: if there is none.
    """
    top = 3 * num_maps * _CLEARANCE
    if low >= top or high <= 0:
        raise UsageError(
            f"sigma_factor: systems of {num_maps} maps have a sigma-factor between 0 and"
            f" {3 * num_maps}, not {low:g} to {high:g}"
        )
    return max(low, 0.0), min(high, top)


def singular_values(stream: Stream, num_maps: int, sigma: float) -> list[tuple[float, float]]:
    """N pairs 1 > s1 >= s2 >= 0 with sum (s1 + 2 s2) = sigma (2110.03091, section 3.2)."""
    pairs = []
    above = sigma  # what the remaining maps have to add up to
    below = sigma - 3 * num_maps + 3  # the same less what the others could take at most
    for _ in range(num_maps - 1):
        s1 = stream.uniform(max(0.0, below / 3), min(1.0, above))
        below -= s1
        above -= s1
        s2 = stream.uniform(max(0.0, below / 2), min(s1, above / 2))
        below = below - 2 * s2 + 3
        above -= 2 * s2
        pairs.append((s1, s2))
    s2 = stream.uniform(max(0.0, (above - 1) / 2), above / 3)
    pairs.append((above - 2 * s2, s2))
    return pairs


def _rotation(stream: Stream) -> NDArray[np.float64]:
    """A rotation by U(-pi, pi), right-multiplied by diag(+-1, +-1): float64 (2, 2)."""
    angle = stream.uniform(-math.pi, math.pi)
    sine, cosine = sin(angle), cos(angle)
    signs = [1.0 if stream.integer(0, 1) else -1.0 for _ in range(2)]
    return np.array([[cosine * signs[0], -sine * signs[1]], [sine * signs[0], cosine * signs[1]]])


def sample_contractive(stream: Stream, num_maps: int, sigma: float) -> NDArray[np.float64]:
    """A system with the given sigma-factor, float64 (N, 6).

    Each matrix is U diag(s1, s2) V with U, V rotations or reflections; translations are
    U(-1, 1)**2 (2110.03091, section 3.2).
    """
    affine_N6 = np.empty((num_maps, 6))
    for j, (s1, s2) in enumerate(singular_values(stream, num_maps, sigma)):
        u, v = _rotation(stream), _rotation(stream)
        for row in range(2):
            for column in range(2):
                left = u[row, 0] * s1 * v[0, column]
                affine_N6[j, 2 * row + column] = left + u[row, 1] * s2 * v[1, column]
        affine_N6[j, 4:] = stream.uniform(-1, 1), stream.uniform(-1, 1)
    return affine_N6


def cumulative_probabilities(affine_N6: NDArray[np.float64]) -> NDArray[np.float64]:
    """p_1 + ... + p_j with p_j = |ad - bc| / sum |ad - bc|, float64 (N,).

    Raises:
        UsageError: if all determinants are 0.
    """
    weights = [abs(a * d - b * c) for a, b, c, d, _, _ in affine_N6.tolist()]
    total = 0.0
    for weight in weights:
        total += weight
    if not total > 0.0:
        raise UsageError("base: the determinants of all maps are 0, so no map can be chosen")
    sums = []
    reached = 0.0
    for weight in weights:
        reached += weight / total
        sums.append(reached)
    return np.array(sums)
