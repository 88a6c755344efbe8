"""Lanczos resampling of 8-bit pictures to a smaller size, equal to Pillow's to the pixel.

Pillow's rule: weights in double precision, normalized, rounded to multiples of 2**-22; rows first,
then columns, each sum rounded and clipped to 8 bits.

Shapes: S side of the picture, D side of the smaller one, T weights of an output pixel.
"""

import numpy as np

from fdsl_gen.core.jit import kernel
from fdsl_gen.kernels.elementary import sin

_PI = 3.141592653589793
_LOBES = 3.0
_BITS = 22
_HALF = 1 << (_BITS - 1)


@kernel
def _lanczos(x):
    if not -_LOBES <= x < _LOBES:
        return 0.0
    if x == 0.0:
        return 1.0
    wide = x / _LOBES
    return sin(x * _PI) / (x * _PI) * (sin(wide * _PI) / (wide * _PI))


@kernel
def fill_weights(size, first_D, weight_DT):
    """Weights of every output pixel along an axis.

    Args:
        size: of the axis before.
        first_D: output, int64: first input pixel that counts.
        weight_DT: output, int64, in units of 2**-22; T is 2 ceil(3 size / D) + 1.
    """
    out = weight_DT.shape[0]
    scale = size / out
    support = _LOBES * scale
    raw = np.empty(weight_DT.shape[1])
    for d in range(out):
        center = (d + 0.5) * scale
        start = max(int(center - support + 0.5), 0)
        stop = min(int(center + support + 0.5), size)
        total = 0.0
        for t in range(stop - start):
            raw[t] = _lanczos((t + start - center + 0.5) * (1.0 / scale))
            total += raw[t]
        first_D[d] = start
        weight_DT[d] = 0
        for t in range(stop - start):
            scaled = raw[t] / total * (1 << _BITS)
            weight_DT[d, t] = int(scaled - 0.5) if scaled < 0.0 else int(scaled + 0.5)


@kernel
def shrink(image_SS3, first_D, weight_DT, image_DD3):
    """Resample a picture.

    Args:
        image_SS3: uint8.
        first_D, weight_DT: from :func:`fill_weights`.
        image_DD3: output, uint8.
    """
    side = image_SS3.shape[0]
    out = image_DD3.shape[0]
    narrow = np.empty((side, out, 3), np.uint8)
    total = np.empty(3, np.int64)
    for row in range(side):
        for d in range(out):
            _gather(image_SS3[row], first_D[d], weight_DT[d], total, narrow[row, d])
    for d in range(out):
        for column in range(out):
            _gather(narrow[:, column], first_D[d], weight_DT[d], total, image_DD3[d, column])


@kernel
def _gather(line_S3, first, weight_T, total_3, out_3):
    total_3[:] = _HALF
    for t in range(min(weight_T.shape[0], line_S3.shape[0] - first)):
        for c in range(3):
            total_3[c] += weight_T[t] * line_S3[first + t, c]
    for c in range(3):
        out_3[c] = min(max(total_3[c] >> _BITS, 0), 255)
