"""Chaos games in space and their views.

Shapes: N maps of 12 coefficients in the order a b c d e f g h i j k l (x' = a x + b y + c z + j,
y' = d x + e y + f z + k, z' = g x + h y + i z + l), P points, three rows x y z.
"""

import numpy as np

from fdsl_gen.core.jit import kernel

NEAR = 1.0
FAR = 100.0
_COTANGENT = 1.0 + np.sqrt(2.0)  # of half the field of view, 22.5 degrees


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
def normalize(point_3P, variance_3):
    """Scale the joint range of the three axes to [-1, 1], then take sum / (P + 1) off each axis.

    The divisor counts the start, which is not among the points, as the released code does.

    Args:
        point_3P: changed.
        variance_3: output, the variance of every axis (mean squared distance from the mean).

    Returns:
        Whether the range is finite and not zero.
    """
    points = point_3P.shape[1]
    low = np.inf
    high = -np.inf
    for axis in range(3):
        for t in range(points):
            low = min(low, point_3P[axis, t])
            high = max(high, point_3P[axis, t])
    extent = high - low
    if not (0.0 < extent < np.inf):
        return False
    for axis in range(3):
        total = 0.0
        for t in range(points):
            value = (point_3P[axis, t] - low) / extent * 2.0 - 1.0
            point_3P[axis, t] = value
            total += value
        offset = total / (points + 1)
        mean = total / points - offset
        spread = 0.0
        for t in range(points):
            value = point_3P[axis, t] - offset
            point_3P[axis, t] = value
            spread += (value - mean) * (value - mean)
        variance_3[axis] = spread / points
    return True


@kernel
def project(point_3P, camera_43, image_HW):
    """Light the pixel of every point that a perspective camera sees.

    Args:
        point_3P: the model.
        camera_43: position, direction of view, right, up; the last three of length 1.
        image_HW: uint8, square; foreground pixels become 255. Row 0 is at the smallest y, so images
            are upside down, as released.
    """
    side = image_HW.shape[0]
    last = side - 1
    for t in range(point_3P.shape[1]):
        x = point_3P[0, t] - camera_43[0, 0]
        y = point_3P[1, t] - camera_43[0, 1]
        z = point_3P[2, t] - camera_43[0, 2]
        depth = x * camera_43[1, 0] + y * camera_43[1, 1] + z * camera_43[1, 2]
        across = x * camera_43[2, 0] + y * camera_43[2, 1] + z * camera_43[2, 2]
        upward = x * camera_43[3, 0] + y * camera_43[3, 1] + z * camera_43[3, 2]
        if not (NEAR <= depth <= FAR):
            continue
        across = _COTANGENT * across / depth
        upward = _COTANGENT * upward / depth
        if abs(across) > 1.0 or abs(upward) > 1.0:
            continue
        column = min(int((across + 1.0) / 2.0 * side), last)
        row = min(int((upward + 1.0) / 2.0 * side), last)
        image_HW[row, column] = 255
