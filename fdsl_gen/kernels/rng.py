"""The stream of a key inside compiled loops; ``seeding.words`` gives the same words in NumPy."""

import numba
import numpy as np

from fdsl_gen.core.jit import kernel
from fdsl_gen.core.keys import GAMMA, MULTIPLIER_1, MULTIPLIER_2

_GAMMA = np.uint64(GAMMA)
_MULTIPLIER_1 = np.uint64(MULTIPLIER_1)
_MULTIPLIER_2 = np.uint64(MULTIPLIER_2)
_ONE, _11, _27, _30, _31 = (np.uint64(n) for n in (1, 11, 27, 30, 31))

if numba.config.DISABLE_JIT:
    # NumPy scalars warn when they wrap around; compiled code does not.
    def _add(a, b):
        return np.uint64((int(a) + int(b)) % 2**64)

    def _multiply(a, b):
        return np.uint64((int(a) * int(b)) % 2**64)
else:

    @kernel
    def _add(a, b):
        return a + b

    @kernel
    def _multiply(a, b):
        return a * b


@kernel
def word(key_2, index):
    """Word ``index`` (uint64) of the stream of a key, uint64 (2,)."""
    z = _add(key_2[0], _multiply(_add(index, _ONE), _GAMMA))
    z = _multiply(z ^ (z >> _30), _MULTIPLIER_1)
    z = _multiply(z ^ (z >> _27) ^ key_2[1], _MULTIPLIER_2)
    return z ^ (z >> _31)


@kernel
def unit(value):
    """A word as a real number in [0, 1): its upper 53 bits."""
    return np.float64(value >> _11) * 2.0**-53
