"""Iterated function systems in the plane: sampling, probabilities.

Shapes: N maps, 6 coefficients in the order a b c d e f (x' = a x + b y + e, y' = c x + d y + f).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.keys import Stream
from fdsl_gen.kernels.elementary import cos, sin

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


class Factors(NamedTuple):
    """What a contractive system is made of: matrix j is U_j diag(s_j) V_j.

    Attributes:
        left_N22, right_N22: U and V, rotations or reflections, float64 (N, 2, 2).
        singular_N2: 1 > s1 >= s2 >= 0, float64 (N, 2).
        translation_N2: float64 (N, 2).
    """

    left_N22: NDArray[np.float64]
    singular_N2: NDArray[np.float64]
    right_N22: NDArray[np.float64]
    translation_N2: NDArray[np.float64]


def sample_factors(stream: Stream, num_maps: int, sigma: float) -> Factors:
    """The parts of a system with the given sigma-factor; translations are U(-1, 1)**2."""
    left, right, translations = [], [], []
    pairs = singular_values(stream, num_maps, sigma)
    for _ in pairs:
        left.append(_rotation(stream))
        right.append(_rotation(stream))
        translations.append((stream.uniform(-1, 1), stream.uniform(-1, 1)))
    return Factors(np.stack(left), np.array(pairs), np.stack(right), np.array(translations))


def compose(factors: Factors) -> NDArray[np.float64]:
    """Coefficients of the system, float64 (N, 6)."""
    affine_N6 = np.empty((len(factors.singular_N2), 6))
    for j, (u, (s1, s2), v, translation) in enumerate(zip(*factors, strict=True)):
        for row in range(2):
            for column in range(2):
                first = u[row, 0] * s1 * v[0, column]
                affine_N6[j, 2 * row + column] = first + u[row, 1] * s2 * v[1, column]
        affine_N6[j, 4:] = translation
    return affine_N6


def sample_contractive(stream: Stream, num_maps: int, sigma: float) -> NDArray[np.float64]:
    """A system with the given sigma-factor, float64 (N, 6).

    Each matrix is U diag(s1, s2) V with U, V rotations or reflections; translations are
    U(-1, 1)**2 (2110.03091, section 3.2).
    """
    return compose(sample_factors(stream, num_maps, sigma))


def determinant(row: Sequence[float]) -> float:
    """Of the matrix of a map of 6 coefficients (plane) or 12 (space)."""
    if len(row) == 6:
        a, b, c, d, _, _ = row
        return a * d - b * c
    a, b, c, d, e, f, g, h, i = row[:9]
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


def cumulative_probabilities(affine_NK: NDArray[np.float64]) -> NDArray[np.float64]:
    """p_1 + ... + p_j with p_j = |det_j| / sum |det|, float64 (N,).

    Args:
        affine_NK: 6 coefficients a map in the plane, 12 in space.

    Raises:
        UsageError: if all determinants are 0.
    """
    weights = [abs(determinant(row)) for row in affine_NK.tolist()]
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


def sample_uniform(
    stream: Stream, num_maps_min: int, num_maps_max: int, size: int = 6
) -> NDArray[np.float64]:
    """A system of U{min..max} maps whose ``size`` coefficients are U(-1, 1), float64 (N, size)."""
    num_maps = stream.integer(num_maps_min, num_maps_max)
    return np.array([[stream.uniform(-1, 1) for _ in range(size)] for _ in range(num_maps)])


def named(affine_N6: NDArray[np.float64]) -> dict[str, float]:
    """Coefficients by name, for the metadata of an image."""
    return {
        f"map{j}_{letter}": value
        for j, row in enumerate(affine_N6.tolist())
        for letter, value in zip("abcdef", row, strict=True)
    }
