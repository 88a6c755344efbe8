"""Chaos games in space and their views.

Shapes: N maps of 12 coefficients in the order a b c d e f g h i j k l (x' = a x + b y + c z + j,
y' = d x + e y + f z + k, z' = g x + h y + i z + l), P points, three rows x y z.
"""

import numpy as np

from fdsl_gen.core.jit import kernel

NEAR = 1.0
FAR = 100.0
_COTANGENT = 1.0 + np.sqrt(2.0)  # of half the field of view, 22.5 degrees
_BLOCK = 1024  # points


@kernel
def wander(maps_P, affine_NK, point_3P):
    """The points of a chaos game that starts at the origin, which is not one of them.

    Args:
        maps_P: uint8 (P,).
        affine_NK: float64 (N, 12).
        point_3P: output.

    Returns:
        Whether all points are finite.
    """
    x = 0.0
    y = 0.0
    z = 0.0
    for t in range(maps_P.shape[0]):
        m = affine_NK[maps_P[t]]
        u = m[0] * x + m[1] * y + m[2] * z + m[9]
        v = m[3] * x + m[4] * y + m[5] * z + m[10]
        z = m[6] * x + m[7] * y + m[8] * z + m[11]
        x = u
        y = v
        if not (abs(x) + abs(y) + abs(z) < np.inf):
            return False
        point_3P[0, t] = x
        point_3P[1, t] = y
        point_3P[2, t] = z
    return True


@kernel
def normalize(point_3P, mean_3):
    """Scale the joint range of the three axes to [-1, 1], then take sum / (P + 1) off each axis.

    The divisor counts the start, which is not among the points, as the released code does. Sums
    run over the points in order; those of the three axes side by side, which no sum notices, so
    that the processor need not wait for one addition to begin the next.

    Args:
        point_3P: changed.
        mean_3: output, the mean of every axis.

    Returns:
        Whether the range is finite and not zero.
    """
    points = point_3P.shape[1]
    x_P = point_3P[0]
    y_P = point_3P[1]
    z_P = point_3P[2]
    low, high = _range(x_P, y_P, z_P)
    extent = high - low
    if not (0.0 < extent < np.inf):
        return False
    for axis in range(3):
        value_P = point_3P[axis]
        for t in range(points):
            value_P[t] = (value_P[t] - low) / extent * 2.0 - 1.0
    total_x = 0.0
    total_y = 0.0
    total_z = 0.0
    for t in range(points):
        total_x += x_P[t]
        total_y += y_P[t]
        total_z += z_P[t]
    mean_3[0] = total_x
    mean_3[1] = total_y
    mean_3[2] = total_z
    for axis in range(3):
        value_P = point_3P[axis]
        offset = mean_3[axis] / (points + 1)
        mean_3[axis] = mean_3[axis] / points - offset
        for t in range(points):
            value_P[t] -= offset
    return True


@kernel
def _range(x_P, y_P, z_P):
    """The least and the greatest of all coordinates, none of which is NaN."""
    low_x = low_y = low_z = np.inf
    high_x = high_y = high_z = -np.inf
    for t in range(x_P.shape[0]):
        x = x_P[t]
        y = y_P[t]
        z = z_P[t]
        low_x = x if x < low_x else low_x
        low_y = y if y < low_y else low_y
        low_z = z if z < low_z else low_z
        high_x = x if x > high_x else high_x
        high_y = y if y > high_y else high_y
        high_z = z if z > high_z else high_z
    return min(low_x, low_y, low_z), max(high_x, high_y, high_z)


@kernel
def variances(point_3P, mean_3, variance_3):
    """The mean squared distance from the mean along every axis.

    Args:
        point_3P: points.
        mean_3: of them, by axis.
        variance_3: output.
    """
    points = point_3P.shape[1]
    for axis in range(3):
        mean = mean_3[axis]
        spread = 0.0
        for t in range(points):
            value = point_3P[axis, t]
            spread += (value - mean) * (value - mean)
        variance_3[axis] = spread / points


@kernel
def project(point_3P, camera_43, image_HW):
    """Light the pixel of every point that a perspective camera sees.

    Args:
        point_3P: the model.
        camera_43: position, direction of view, right, up; the last three of length 1.
        image_HW: uint8, square; foreground pixels become 255. Row 0 is at the smallest y, so images
            are upside down, as released.
    """
    pixel_B = np.empty(_BLOCK, np.int32)
    seen_B = np.empty(_BLOCK, np.int64)  # sums of them must not overflow without the compiler
    flat = image_HW.reshape(-1)
    side = image_HW.shape[0]
    points = point_3P.shape[1]
    x_P = point_3P[0]
    y_P = point_3P[1]
    z_P = point_3P[2]
    # In blocks: first the numbers, which the compiler works out several at a time, then the pixels
    # of those that are seen, without a branch that the processor cannot foretell.
    for first in range(0, points, _BLOCK):
        count = min(_BLOCK, points - first)
        end = first + count
        _look(x_P[first:end], y_P[first:end], z_P[first:end], camera_43, side, pixel_B, seen_B)
        kept = 0
        for t in range(count):
            pixel_B[kept] = pixel_B[t]
            kept += seen_B[t]
        for t in range(kept):
            flat[pixel_B[t]] = 255


@kernel
def _look(x_B, y_B, z_B, camera_43, side, pixel_B, seen_B):
    """Which pixels points stand in, and whether the camera sees them.

    Args:
        x_B, y_B, z_B: points.
        camera_43: as for :func:`project`.
        side: of the image, pixels.
        pixel_B: output, row * side + column; 0 where the point is not seen.
        seen_B: output, 1 or 0.
    """
    size = np.int32(side)
    last = np.int32(side - 1)
    # Out of the array: the compiler cannot know that the outputs are not the camera.
    px, py, pz = camera_43[0, 0], camera_43[0, 1], camera_43[0, 2]
    fx, fy, fz = camera_43[1, 0], camera_43[1, 1], camera_43[1, 2]
    rx, ry, rz = camera_43[2, 0], camera_43[2, 1], camera_43[2, 2]
    ux, uy, uz = camera_43[3, 0], camera_43[3, 1], camera_43[3, 2]
    for t in range(x_B.shape[0]):
        x = x_B[t] - px
        y = y_B[t] - py
        z = z_B[t] - pz
        depth = x * fx + y * fy + z * fz
        across = _COTANGENT * (x * rx + y * ry + z * rz) / depth
        upward = _COTANGENT * (x * ux + y * uy + z * uz) / depth
        near = (depth >= NEAR) & (depth <= FAR)
        seen = near & (abs(across) <= 1.0) & (abs(upward) <= 1.0)
        column = np.int32((across + 1.0) / 2.0 * side if seen else 0.0)
        row = np.int32((upward + 1.0) / 2.0 * side if seen else 0.0)
        column = last if column > last else column
        row = last if row > last else row
        pixel_B[t] = row * size + column
        seen_B[t] = seen
