"""Small changes of a contractive system that leave it contractive.

Anderson and Farrell, "Improving Fractal Pre-training", WACV 2022, arXiv 2110.03091. The rules are
those of its released code.

Ours: rotations are applied from the left; ``sval`` never takes a factor below 0; order of the draws
as written here.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.core.keys import Stream
from fdsl_gen.geometry.ifs import Factors, compose
from fdsl_gen.kernels.elementary import cos, sin

Kind = Literal["scale", "entry", "svd", "sval", "none"]


@dataclass(frozen=True, slots=True)
class Jitter:
    """How systems are changed.

    Attributes:
        kind: ``scale`` multiplies the coefficients of one map, ``entry`` one coefficient of every
            map, ``svd`` turns a factor of one map or moves it, ``sval`` multiplies the singular
            values of one map, ``none`` changes nothing.
        scale: range of the factor of ``scale``.
        level: k of ``entry``, whose factors are 1 - 2k/10, 1 - k/10, 1, 1 + k/10, 1 + 2k/10.
        rotation: greatest angle of ``svd``, radians.
        shift: greatest move of ``svd`` along an axis.
        sigma: range of the sigma-factor that ``sval`` aims at.
        attempts: how often a change is tried before the system is left as it is.
    """

    kind: Kind
    scale: tuple[float, float]
    level: int
    rotation: float
    shift: float
    sigma: tuple[float, float]
    attempts: int


def singular_value(affine_N6: NDArray[np.float64]) -> float:
    """The greatest singular value of the matrices of a system.

    That of [[a, b], [c, d]] is half the sum of |(a + d, c - b)| and |(a - d, c + b)|.
    """
    greatest = 0.0
    for a, b, c, d, _, _ in affine_N6.tolist():
        turning = math.sqrt((a + d) * (a + d) + (c - b) * (c - b))
        mirroring = math.sqrt((a - d) * (a - d) + (c + b) * (c + b))
        greatest = max(greatest, (turning + mirroring) / 2)
    return greatest


def fixed_point(affine_6: NDArray[np.float64]) -> tuple[float, float]:
    """The point that a map leaves where it is; the origin if no point or a line is (ours)."""
    a, b, c, d, e, f = affine_6.tolist()
    determinant = (1 - a) * (1 - d) - b * c
    if determinant == 0.0:
        return 0.0, 0.0
    return ((1 - d) * e + b * f) / determinant, (c * e + (1 - a) * f) / determinant


def _turned(matrix_22: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """A matrix after a rotation."""
    sine, cosine = sin(angle), cos(angle)
    above, below = matrix_22
    return np.stack([cosine * above - sine * below, sine * above + cosine * below])


def _scaled_map(jitter: Jitter, stream: Stream, affine_N6: NDArray[np.float64]) -> None:
    j = stream.integer(0, len(affine_N6) - 1)
    affine_N6[j] *= stream.uniform(*jitter.scale)


def _scaled_entries(jitter: Jitter, stream: Stream, affine_N6: NDArray[np.float64]) -> None:
    entries = [stream.integer(0, 5) for _ in affine_N6]
    factor = 1.0 + (stream.integer(0, 4) - 2) * jitter.level / 10
    affine_N6[range(len(entries)), entries] *= factor


def _factors_changed(jitter: Jitter, stream: Stream, factors: Factors) -> NDArray[np.float64]:
    j = stream.integer(0, len(factors.singular_N2) - 1)
    part = stream.integer(0, 2)
    left, right, translation = (array.copy() for array in (factors[0], factors[2], factors[3]))
    if part == 2:
        for axis in range(2):
            translation[j, axis] += stream.uniform(-jitter.shift, jitter.shift)
    else:
        turned = (left, right)[part]
        turned[j] = _turned(turned[j], stream.uniform(-jitter.rotation, jitter.rotation))
    return compose(Factors(left, factors.singular_N2, right, translation))


def _singular_values_changed(
    jitter: Jitter, stream: Stream, factors: Factors
) -> NDArray[np.float64]:
    pairs = factors.singular_N2.tolist()
    j = stream.integer(0, len(pairs) - 1)
    others = 0.0
    for i, (s1, s2) in enumerate(pairs):
        others += s1 + 2 * s2 if i != j else 0.0
    low, high = jitter.sigma
    wanted = stream.uniform(max(low, others), high) - others
    s1, s2 = pairs[j]
    singular_N2 = factors.singular_N2.copy()
    singular_N2[j] *= wanted / (s1 + 2 * s2)
    return compose(factors._replace(singular_N2=singular_N2))


def _changed(
    jitter: Jitter, stream: Stream, factors: Factors, affine_N6: NDArray[np.float64]
) -> NDArray[np.float64]:
    """One attempt, which may not be contractive."""
    if jitter.kind == "svd":
        return _factors_changed(jitter, stream, factors)
    if jitter.kind == "sval":
        return _singular_values_changed(jitter, stream, factors)
    copy = affine_N6.copy()
    (_scaled_map if jitter.kind == "scale" else _scaled_entries)(jitter, stream, copy)
    return copy


def jittered(
    jitter: Jitter, stream: Stream, factors: Factors, affine_N6: NDArray[np.float64]
) -> tuple[NDArray[np.float64], int]:
    """A changed system without a singular value above 1, and how many attempts it took.

    Args:
        jitter: how.
        stream: of the draws.
        factors: of the system.
        affine_N6: its coefficients, ``compose(factors)``.

    Returns:
        The first attempt that is contractive; the system itself and 0 if none is.
    """
    for attempt in range(0 if jitter.kind == "none" else jitter.attempts):
        changed = _changed(jitter, stream, factors, affine_N6)
        if singular_value(changed) <= 1.0:
            return changed, attempt + 1
    return affine_N6, 0
