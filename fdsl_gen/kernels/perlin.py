"""One-dimensional Perlin noise, in float32 by definition, and draws of it.

Gradient noise with the quintic fade of Ken Perlin, "Improving Noise", SIGGRAPH 2002, and his
published table of 256 hash values. The gradient rule is that of ``pnoise1`` in the PyPI package
``noise`` 1.2.2, which the released contour generators call: half of all gradients are -1. Values
are equal to that function's, bit for bit.
"""

import numpy as np

from fdsl_gen.core.jit import kernel
from fdsl_gen.kernels.rng import unit, word

SPAN = 10_000.0  # abscissae are U(0, SPAN), as in the released generators

# fmt: off
_HASHES = (
    151, 160, 137, 91, 90, 15, 131, 13, 201, 95, 96, 53, 194, 233, 7, 225, 140, 36, 103, 30, 69,
    142, 8, 99, 37, 240, 21, 10, 23, 190, 6, 148, 247, 120, 234, 75, 0, 26, 197, 62, 94, 252, 219,
    203, 117, 35, 11, 32, 57, 177, 33, 88, 237, 149, 56, 87, 174, 20, 125, 136, 171, 168, 68, 175,
    74, 165, 71, 134, 139, 48, 27, 166, 77, 146, 158, 231, 83, 111, 229, 122, 60, 211, 133, 230,
    220, 105, 92, 41, 55, 46, 245, 40, 244, 102, 143, 54, 65, 25, 63, 161, 1, 216, 80, 73, 209, 76,
    132, 187, 208, 89, 18, 169, 200, 196, 135, 130, 116, 188, 159, 86, 164, 100, 109, 198, 173, 186,
    3, 64, 52, 217, 226, 250, 124, 123, 5, 202, 38, 147, 118, 126, 255, 82, 85, 212, 207, 206, 59,
    227, 47, 16, 58, 17, 182, 189, 28, 42, 223, 183, 170, 213, 119, 248, 152, 2, 44, 154, 163, 70,
    221, 153, 101, 155, 167, 43, 172, 9, 129, 22, 39, 253, 19, 98, 108, 110, 79, 113, 224, 232, 178,
    185, 112, 104, 218, 246, 97, 228, 251, 34, 242, 193, 238, 210, 144, 12, 191, 179, 162, 241, 81,
    51, 145, 235, 249, 14, 239, 107, 49, 192, 214, 31, 181, 199, 106, 157, 184, 84, 204, 176, 115,
    121, 50, 45, 127, 4, 150, 254, 138, 236, 205, 93, 222, 114, 67, 29, 24, 72, 243, 141, 128, 195,
    78, 66, 215, 61, 156, 180,
)
# fmt: on

# The gradient of every lattice point; the first stands again at the end.
_GRADIENTS = np.array(
    [-1 if h & 8 else 1 + (h & 7) for h in (*_HASHES, _HASHES[0])], dtype=np.float32
)
_6, _10, _15, _ONE = (np.float32(n) for n in (6, 10, 15, 1))
_SCALE = np.float32(0.4)


@kernel
def perlin(x):
    """Noise at x >= 0: float64 in, the value in float32 out."""
    x = np.float32(x)
    lattice = np.int32(x)
    t = x - np.float32(lattice)
    cell = lattice & 255
    fade = t * t * t * (t * (t * _6 - _15) + _10)
    left = _GRADIENTS[cell] * t
    right = _GRADIENTS[cell + 1] * (t - _ONE)
    return (left + fade * (right - left)) * _SCALE


@kernel
def sample_perlin(key_2, start, noise_M):
    """Noise at abscissae U(0, 10000) from words ``start ..`` (uint64) of the stream of a key.

    Args:
        key_2: key.
        start: first word, uint64.
        noise_M: output, float32.
    """
    for m in range(noise_M.shape[0]):
        noise_M[m] = perlin(unit(word(key_2, start + np.uint64(m))) * SPAN)
