"""Slow twins of the 3-D fractal sets."""

import math

import numpy as np

from fdsl_gen.core.keys import Key
from tests.fdsl_gen.variants.naive import choose_map, word


def determinant(row) -> float:
    a, b, c, d, e, f, g, h, i = row[:9]
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


def probabilities(maps) -> list[float]:
    sizes = [abs(determinant(row)) for row in maps]
    total = 0.0
    for size in sizes:
        total += size
    return [size / total for size in sizes]


def model(maps, chances, key: Key, count: int) -> list[list[float]]:
    """The points after the origin."""
    x = y = z = 0.0
    points = []
    for t in range(count):
        u = (word(key, t) >> 11) * 2.0**-53
        a, b, c, d, e, f, g, h, i, j, k, m = maps[choose_map(u, chances)]
        x, y, z = (
            a * x + b * y + c * z + j,
            d * x + e * y + f * z + k,
            g * x + h * y + i * z + m,
        )
        points.append([x, y, z])
    return points


def normalized(points) -> list[list[float]]:
    values = [v for point in points for v in point]
    low, high = min(values), max(values)
    scaled = [[(v - low) / (high - low) * 2.0 - 1.0 for v in point] for point in points]
    offsets = []
    for axis in range(3):
        total = 0.0
        for point in scaled:
            total += point[axis]
        offsets.append(total / (len(points) + 1))
    return [[v - o for v, o in zip(point, offsets, strict=True)] for point in scaled]


def cross(p, q):
    return [p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0]]


def dot(p, q):
    return p[0] * q[0] + p[1] * q[1] + p[2] * q[2]


def picture(points, position, side: int) -> tuple[np.ndarray, int]:
    """The view from ``position``, and how many points lie within rounding of a pixel's border."""
    forward = [-v / 4 for v in position]
    right = cross(forward, [0, 1, 0])
    length = math.sqrt(dot(right, right))
    right = [v / length for v in right]
    up = cross(right, forward)
    cotangent = 1 / math.tan(math.radians(22.5))
    image = np.zeros((side, side), np.uint8)
    ties = 0
    for point in points:
        v = [p - q for p, q in zip(point, position, strict=True)]
        depth = dot(v, forward)
        if not 1 <= depth <= 100:
            continue
        across, upward = cotangent * dot(v, right) / depth, cotangent * dot(v, up) / depth
        if abs(across) > 1 or abs(upward) > 1:
            continue
        column, row = (across + 1) / 2 * side, (upward + 1) / 2 * side
        ties += abs(column - round(column)) < 1e-9 or abs(row - round(row)) < 1e-9
        image[min(math.floor(row), side - 1), min(math.floor(column), side - 1)] = 255
    return image, ties
