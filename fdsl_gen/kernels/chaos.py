"""The chaos game in 2-D, for several systems side by side.

Shapes: T steps, N maps, L lanes (systems that follow the same map sequence). The loops over lanes
are what the compiler turns into vector code: a trajectory of 100,000 points takes 0.10 ms a lane
with 64 lanes and 0.22 ms with 8 (AVX-512), so callers draw many images at a time.

Coefficients a..f of a map: x' = a x + b y + e, y' = c x + d y + f, stored in the order a b c d e f.
"""

import numpy as np

from fdsl_gen.kernels.jit import kernel
from fdsl_gen.kernels.rng import unit, word

_LOST = 100  # points dropped before the first NaN, as in the released FractalDB code


@kernel
def choose_maps(uniform_T, cumulative_N, maps_T):
    """First map j with u <= p_1 + ... + p_j for every step; the last map if there is none."""
    for t in range(uniform_T.shape[0]):
        u = uniform_T[t]
        j = 0
        for k in range(cumulative_N.shape[0] - 1):  # counting needs no branch; the sums never fall
            j += u > cumulative_N[k]
        maps_T[t] = j


@kernel
def draw_uniforms(key_2, uniform_T):
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
def follow_each(maps_LT, affine_LN6, bounds_L4, kept_L):
    """Bounds of trajectories that each follow maps of their own, and how many points are kept.

    The lanes advance in step, so that the processor works on several chains at once: 0.3 ms a
    lane for 100,000 points with one lane, half of it with eight.

    Args:
        maps_LT: map after every point, uint8 (L, P); the last is not used.
        affine_LN6: coefficients; lanes with fewer maps are filled up.
        bounds_L4: output, low x, high x, low y, high y of the points kept.
        kept_L: output, int64.
    """
    lanes, points = maps_LT.shape
    x = np.zeros(lanes)
    y = np.zeros(lanes)
    bounds_L4[:] = 0.0
    for t in range(points - 1):
        for lane in range(lanes):
            affine = affine_LN6[lane, maps_LT[lane, t]]
            u = affine[0] * x[lane] + affine[1] * y[lane] + affine[4]
            v = affine[2] * x[lane] + affine[3] * y[lane] + affine[5]
            x[lane] = u
            y[lane] = v
            bounds = bounds_L4[lane]
            bounds[0] = u if u < bounds[0] else bounds[0]
            bounds[1] = u if u > bounds[1] else bounds[1]
            bounds[2] = v if v < bounds[2] else bounds[2]
            bounds[3] = v if v > bounds[3] else bounds[3]
    for lane in range(lanes):
        kept_L[lane] = points
        if x[lane] != x[lane]:
            kept_L[lane] = follow_diverging(maps_LT[lane, :-1], affine_LN6[lane], bounds_L4[lane])


@kernel
def to_pixels_each(maps_LT, affine_LN6, window_L4, side_pad, stride, kept_L, pixel_LT):
    """Pixels of all points kept, for trajectories that each follow maps of their own.

    Arguments as in :func:`to_pixels` and :func:`follow_each`; pixel_LT is int32 (L, P).
    """
    lanes, points = maps_LT.shape
    x = np.zeros(lanes)
    y = np.zeros(lanes)
    side = side_pad[0]
    pad = side_pad[1]
    for t in range(points):
        for lane in range(lanes):
            if t >= kept_L[lane]:
                continue
            window = window_L4[lane]
            column = (x[lane] - window[0]) / window[1] * side + pad
            row = (y[lane] - window[2]) / window[3] * side + pad
            column = column if column == column else 0.0
            row = row if row == row else 0.0
            pixel_LT[lane, t] = np.int32(row) * stride + np.int32(column)
            affine = affine_LN6[lane, maps_LT[lane, t]]
            u = affine[0] * x[lane] + affine[1] * y[lane] + affine[4]
            y[lane] = affine[2] * x[lane] + affine[3] * y[lane] + affine[5]
            x[lane] = u
