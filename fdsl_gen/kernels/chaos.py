"""The chaos game in 2-D, for several systems side by side.

Shapes: T steps, N maps, L lanes (systems that follow the same map sequence). The loops over lanes
are what the compiler turns into vector code: a trajectory of 100,000 points takes 0.10 ms a lane
with 64 lanes and 0.22 ms with 8 (AVX-512), so callers draw many images at a time.

Coefficients a..f of a map: x' = a x + b y + e, y' = c x + d y + f, stored in the order a b c d e f.
"""

import numpy as np

from fdsl_gen.core.jit import kernel
from fdsl_gen.kernels.rng import unit, word

_BLOCK = 1024
_LOST = 100  # points dropped before the first NaN, as in the released FractalDB code


@kernel
def choose_maps(uniform_T, cumulative_N, maps_T):
    """First map j with u <= p_1 + ... + p_j for every step; the last map if there is none."""
    # The sums never fall, so counting those below u gives the map, without a branch; in blocks, so
    # that the inner loop is over many steps and its numbers stay in the first cache.
    for first in range(0, uniform_T.shape[0], _BLOCK):
        end = min(first + _BLOCK, uniform_T.shape[0])
        maps_T[first:end] = 0
        for k in range(cumulative_N.shape[0] - 1):
            reached = cumulative_N[k]
            for t in range(first, end):
                maps_T[t] += np.uint8(uniform_T[t] > reached)


@kernel
def sample_uniforms(key_2, uniform_T):
    """The stream of a key as real numbers in [0, 1)."""
    for t in range(uniform_T.shape[0]):
        uniform_T[t] = unit(word(key_2, np.uint64(t)))


@kernel
def follow(maps_T, affine_N6L, point_2L, bounds_4L):
    """Move every lane's point along the maps and widen its bounds (low x, high x, low y, high y).

    A NaN widens nothing.
    """
    x = point_2L[0]
    y = point_2L[1]
    low_x = bounds_4L[0]
    high_x = bounds_4L[1]
    low_y = bounds_4L[2]
    high_y = bounds_4L[3]
    for t in range(maps_T.shape[0]):
        affine = affine_N6L[maps_T[t]]
        for lane in range(x.shape[0]):
            u = affine[0, lane] * x[lane] + affine[1, lane] * y[lane] + affine[4, lane]
            v = affine[2, lane] * x[lane] + affine[3, lane] * y[lane] + affine[5, lane]
            x[lane] = u
            y[lane] = v
            low_x[lane] = u if u < low_x[lane] else low_x[lane]
            high_x[lane] = u if u > high_x[lane] else high_x[lane]
            low_y[lane] = v if v < low_y[lane] else low_y[lane]
            high_y[lane] = v if v > high_y[lane] else high_y[lane]


@kernel
def follow_diverging(maps_T, affine_N6, bounds_4):
    """Bounds of a trajectory whose x becomes NaN, and how many of its points are kept.

    The points kept are those more than 100 steps before the first NaN.
    """
    first = maps_T.shape[0] + 1  # index of the first point with NaN; point 0 is the origin
    x = 0.0
    y = 0.0
    for t in range(maps_T.shape[0]):
        affine = affine_N6[maps_T[t]]
        u = affine[0] * x + affine[1] * y + affine[4]
        y = affine[2] * x + affine[3] * y + affine[5]
        x = u
        if x != x:
            first = t + 1
            break
    kept = max(first - _LOST, 0)
    bounds_4[:] = 0.0
    x = 0.0
    y = 0.0
    for t in range(kept - 1):
        affine = affine_N6[maps_T[t]]
        u = affine[0] * x + affine[1] * y + affine[4]
        y = affine[2] * x + affine[3] * y + affine[5]
        x = u
        bounds_4[0] = min(bounds_4[0], x)
        bounds_4[1] = max(bounds_4[1], x)
        bounds_4[2] = min(bounds_4[2], y)
        bounds_4[3] = max(bounds_4[3], y)
    return kept


@kernel
def to_pixels(maps_T, affine_N6L, point_2L, window_4L, side_pad, stride, pixel_TL):
    """Pixels of T points of every lane, beginning with the point where the lane stands.

    Args:
        maps_T: the map that leads on from each of the points, uint8.
        affine_N6L: coefficients.
        point_2L: where the lanes stand; moved T steps.
        window_4L: low x, extent x, low y, extent y. Extents may be infinite, not 0.
        side_pad: width of the drawn area and of the border, pixels, float64 (2,).
        stride: columns of a row of the canvas, int32.
        pixel_TL: row * stride + column, int32; a coordinate that is not a number gives 0.
    """
    x = point_2L[0]
    y = point_2L[1]
    low_x = window_4L[0]
    extent_x = window_4L[1]
    low_y = window_4L[2]
    extent_y = window_4L[3]
    side = side_pad[0]
    pad = side_pad[1]
    for t in range(maps_T.shape[0]):
        affine = affine_N6L[maps_T[t]]
        pixel = pixel_TL[t]
        for lane in range(x.shape[0]):
            column = (x[lane] - low_x[lane]) / extent_x[lane] * side + pad
            row = (y[lane] - low_y[lane]) / extent_y[lane] * side + pad
            column = column if column == column else 0.0
            row = row if row == row else 0.0
            pixel[lane] = np.int32(row) * stride + np.int32(column)
            u = affine[0, lane] * x[lane] + affine[1, lane] * y[lane] + affine[4, lane]
            v = affine[2, lane] * x[lane] + affine[3, lane] * y[lane] + affine[5, lane]
            x[lane] = u
            y[lane] = v


@kernel
def walk(maps_LT, affine_LN6, path_L2P, bounds_L4, kept_L):
    """Trajectories that each follow maps of their own, their bounds, and how many points are kept.

    Two lanes advance in step, so that the processor works on two chains at once: 0.14 ms a lane for
    100,000 points, against 0.28 ms one after another.

    Args:
        maps_LT: map after every point, uint8 (L, P); the last is not used.
        affine_LN6: coefficients; lanes with fewer maps are filled up.
        path_L2P: output, x and y of every point.
        bounds_L4: output, low x, high x, low y, high y of the points kept.
        kept_L: output, int64.
    """
    lanes, points = maps_LT.shape
    for one in range(0, lanes, 2):
        two = min(one + 1, lanes - 1)  # an odd last lane is walked twice
        maps_1 = maps_LT[one]
        maps_2 = maps_LT[two]
        affine_1 = affine_LN6[one]
        affine_2 = affine_LN6[two]
        path_1 = path_L2P[one]
        path_2 = path_L2P[two]
        x1 = y1 = x2 = y2 = 0.0
        for t in range(points):
            path_1[0, t] = x1
            path_1[1, t] = y1
            path_2[0, t] = x2
            path_2[1, t] = y2
            m = affine_1[maps_1[t]]
            u = m[0] * x1 + m[1] * y1 + m[4]
            y1 = m[2] * x1 + m[3] * y1 + m[5]
            x1 = u
            m = affine_2[maps_2[t]]
            u = m[0] * x2 + m[1] * y2 + m[4]
            y2 = m[2] * x2 + m[3] * y2 + m[5]
            x2 = u
    for lane in range(lanes):
        last = path_L2P[lane, 0, points - 1]
        if last == last:
            kept_L[lane] = points
            _widen(path_L2P[lane, 0], bounds_L4[lane, :2])
            _widen(path_L2P[lane, 1], bounds_L4[lane, 2:])
        else:
            kept_L[lane] = follow_diverging(maps_LT[lane, :-1], affine_LN6[lane], bounds_L4[lane])


@kernel
def _widen(value_P, bounds_2):
    """Least and greatest value, and 0; a NaN counts for nothing.

    Eight at a time, in parts that the compiler can keep in one register each.
    """
    low_8 = np.zeros(8)
    high_8 = np.zeros(8)
    points = value_P.shape[0]
    whole = points - points % 8
    for first in range(0, whole, 8):
        for k in range(8):
            value = value_P[first + k]
            low_8[k] = value if value < low_8[k] else low_8[k]
            high_8[k] = value if value > high_8[k] else high_8[k]
    bounds_2[:] = 0.0
    for k in range(8):
        bounds_2[0] = min(bounds_2[0], low_8[k])
        bounds_2[1] = max(bounds_2[1], high_8[k])
    for t in range(whole, points):
        value = value_P[t]
        bounds_2[0] = value if value < bounds_2[0] else bounds_2[0]
        bounds_2[1] = value if value > bounds_2[1] else bounds_2[1]


@kernel
def path_to_pixels(path_2P, window_4, side_pad, stride, pixel_P):
    """Pixels of a trajectory whose points are known; arguments as in :func:`to_pixels`."""
    low_x = window_4[0]
    extent_x = window_4[1]
    low_y = window_4[2]
    extent_y = window_4[3]
    side = side_pad[0]
    pad = side_pad[1]
    for t in range(pixel_P.shape[0]):
        column = (path_2P[0, t] - low_x) / extent_x * side + pad
        row = (path_2P[1, t] - low_y) / extent_y * side + pad
        column = column if column == column else 0.0
        row = row if row == row else 0.0
        pixel_P[t] = np.int32(row) * stride + np.int32(column)
