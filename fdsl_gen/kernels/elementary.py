"""sin, cos, exp and log from + - * / and exact scaling alone, so that every machine agrees.

libm and NumPy give different last bits on different processors. These functions stay within 1 ulp
of the true value for |x| <= 1e5 (sin, cos), -700 <= x <= 700 (exp) and every positive normal x
(log); outside, sin and cos return NaN, exp returns 0 or infinity.

Method: reduction of the argument to a small interval with a constant kept in three parts (Cody and
Waite, "Software Manual for the Elementary Functions", 1980), then the Taylor series, with the
rounding error of the reduced argument carried along.
"""

import math

import numpy as np

from fdsl_gen.core.jit import kernel

_LARGEST_ANGLE = 1e5

# pi/2 in three parts; the first two have 33 significant bits, so that k times them is exact for
# |k| < 2**20.
_HALF_PI_1 = float.fromhex("0x1.921fb544p+0")
_HALF_PI_2 = float.fromhex("0x1.0b4611a6p-34")
_HALF_PI_3 = float.fromhex("0x1.3198a2e037073p-69")
_TWO_OVER_PI = 0.6366197723675814

# ln 2 in two parts; the first has 32 significant bits.
_LN2_1 = float.fromhex("0x1.62e42feep-1")
_LN2_2 = float.fromhex("0x1.a39ef35793c76p-33")
_ONE_OVER_LN2 = 1.4426950408889634
_ROOT_HALF = np.uint64(0x3FE6A09E667F3BCD)
_BIAS = np.uint64(1023 << 52)
_52 = np.uint64(52)
_TWO_52 = np.uint64(0x4330000000000000)
_OFFSET = 2.0**52 + 1023.0


@kernel
def _round(x):
    """Nearest integer of a float whose size is far below 2**51."""
    return (x + 6755399441055744.0) - 6755399441055744.0


@kernel
def _reduce(x):
    """(k mod 4, r, s): x = k pi/2 + r + s with |r| <= pi/4 and s the rounding error of r."""
    k = _round(x * _TWO_OVER_PI)
    a = x - k * _HALF_PI_1
    b = k * _HALF_PI_2
    c = a - b
    lost = (a - c) - b
    d = k * _HALF_PI_3 - lost
    r = c - d
    return int(k) & 3, r, (c - r) - d


@kernel
def _sin_small(r, s):
    """sin(r + s): r - r^3/3! + ... - r^19/19!."""
    z = r * r
    p = 1.0 / 355687428096000.0 - z * (1.0 / 121645100408832000.0)
    p = z * p - 1.0 / 1307674368000.0
    p = z * p + 1.0 / 6227020800.0
    p = z * p - 1.0 / 39916800.0
    p = z * p + 1.0 / 362880.0
    p = z * p - 1.0 / 5040.0
    p = z * p + 1.0 / 120.0
    p = z * p - 1.0 / 6.0
    return r + (z * r * p + s * (1.0 - 0.5 * z))


@kernel
def _cos_small(r, s):
    """cos(r + s): 1 - r^2/2! + ... + r^18/18!."""
    z = r * r
    p = 1.0 / 20922789888000.0 - z * (1.0 / 6402373705728000.0)
    p = z * p - 1.0 / 87178291200.0
    p = z * p + 1.0 / 479001600.0
    p = z * p - 1.0 / 3628800.0
    p = z * p + 1.0 / 40320.0
    p = z * p - 1.0 / 720.0
    p = z * p + 1.0 / 24.0
    half = 0.5 * z
    top = 1.0 - half
    return top + (((1.0 - top) - half) + (z * z * p - r * s))


@kernel
def sin(x):
    """Sine of an angle in radians."""
    if not abs(x) <= _LARGEST_ANGLE:
        return math.nan
    quadrant, r, s = _reduce(x)
    if quadrant == 0:
        return _sin_small(r, s)
    if quadrant == 1:
        return _cos_small(r, s)
    if quadrant == 2:
        return -_sin_small(r, s)
    return -_cos_small(r, s)


@kernel
def cos(x):
    """Cosine of an angle in radians."""
    if not abs(x) <= _LARGEST_ANGLE:
        return math.nan
    quadrant, r, s = _reduce(x)
    if quadrant == 0:
        return _cos_small(r, s)
    if quadrant == 1:
        return -_sin_small(r, s)
    if quadrant == 2:
        return -_cos_small(r, s)
    return _sin_small(r, s)


@kernel
def exp(x):
    """e to the power x."""
    if not x <= 709.7:
        return x if x != x else math.inf
    if x < -745.2:
        return 0.0
    k = _round(x * _ONE_OVER_LN2)
    a = x - k * _LN2_1
    b = k * _LN2_2
    r = a - b
    s = (a - r) - b
    p = 1.0 / 6227020800.0 + r * (1.0 / 87178291200.0)
    p = r * p + 1.0 / 479001600.0
    p = r * p + 1.0 / 39916800.0
    p = r * p + 1.0 / 3628800.0
    p = r * p + 1.0 / 362880.0
    p = r * p + 1.0 / 40320.0
    p = r * p + 1.0 / 5040.0
    p = r * p + 1.0 / 720.0
    p = r * p + 1.0 / 120.0
    p = r * p + 1.0 / 24.0
    p = r * p + 1.0 / 6.0
    p = r * p + 0.5
    # 1 + r + (s + r^2 p), the small terms first
    return math.ldexp(1.0 + (r + (s + r * r * p)), int(k))


@kernel
def _log_series(f, t):
    """R and f^2 / 2: log(1 + f) = 2 atanh(t) = 2 t + t R = f - t (f - R), since 2 t = f - f t."""
    z = t * t
    p = 2.0 / 21.0 + z * (2.0 / 23.0)
    p = z * p + 2.0 / 19.0
    p = z * p + 2.0 / 17.0
    p = z * p + 2.0 / 15.0
    p = z * p + 2.0 / 13.0
    p = z * p + 2.0 / 11.0
    p = z * p + 2.0 / 9.0
    p = z * p + 2.0 / 7.0
    p = z * p + 2.0 / 5.0
    return z * (z * p + 2.0 / 3.0), 0.5 * f * f


@kernel
def log(x):
    """Natural logarithm; NaN below 0, minus infinity at 0."""
    if not x > 0.0:
        return -math.inf if x == 0.0 else math.nan
    if x == math.inf:
        return x
    m, k = math.frexp(x)
    if m < 0.7071067811865476:
        m *= 2.0
        k -= 1
    f = m - 1.0  # exact
    t = f / (2.0 + f)
    rest, half = _log_series(f, t)
    # f - t (f - R) = f - (half - t (half + R)): the largest term is exact
    if k == 0:
        return f - (half - t * (half + rest))
    return k * _LN2_1 - ((half - (t * (half + rest) + k * _LN2_2)) - f)


@kernel
def log_of_normal(x):
    """:func:`log` of a positive normal number, to the bit; of 0 and infinity some number.

    Without a branch, so that loops become vector code.
    """
    # x = m 2^k with sqrt(1/2) <= m < sqrt(2); k + 1023 as the low bits of 2^52 + k + 1023
    bits = np.float64(x).view(np.uint64) + _BIAS
    biased = (bits - _ROOT_HALF) >> _52
    k = np.uint64(biased | _TWO_52).view(np.float64) - _OFFSET
    f = np.uint64(bits - (biased << _52)).view(np.float64) - 1.0
    t = f / (2.0 + f)
    rest, half = _log_series(f, t)
    return k * _LN2_1 - ((half - (t * (half + rest) + k * _LN2_2)) - f)
