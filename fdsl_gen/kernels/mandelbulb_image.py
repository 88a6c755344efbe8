"""Pictures of distance fields: a camera, three traps as colors, a light and its shadows.

Shapes: G side of the grid of samples, F maps that take turns, H samples that hit the surface.
"""

import numpy as np

from fdsl_gen.core.jit import kernel
from fdsl_gen.kernels.mandelbulb import evaluate, march

_RAYS = 65_536  # of a batch: whole rows of samples; the last rays of a batch leave lanes unused
_NEAR, _FAR = 0.001, 10.0
_LIGHT_NEAR, _LIGHT_FAR = 0.0001, 10_000.0
_STEP = 0.001  # of the differences
_LIFT = 100_000.0  # shadow rays start a part of the normal above the surface
_LIGHT = (-10.0, 10.0, 10.0)
_DIFFUSE, _AMBIENT, _LIT = 0.9, 0.3, 0.2


@kernel
def _clamp(x):
    """x within 0 .. 1; 0 for NaN."""
    x = x if x > 0.0 else 0.0
    return x if x < 1.0 else 1.0


@kernel
def _power_10(x):
    square = x * x
    fourth = square * square
    return fourth * fourth * square


@kernel
def draw_field(map_FK, limits_5, view_43, color_33, image_GG3):
    """Draw a distance field.

    Args:
        map_FK: int64, see :func:`fdsl_gen.geometry.power_map.row`.
        limits_5: float64: rounds of an orbit, distances along a ray and along a ray of light;
            what :func:`fdsl_gen.geometry.power_map.ball` returns.
        view_43: eye, direction of view, up and right, float64; the last three of length 1.
        color_33: color of each of the three traps, float64.
        image_GG3: output, uint8; the top row first.
    """
    rounds, steps, light_steps, reach, detour = limits_5
    side = image_GG3.shape[0]
    rows = max(1, _RAYS // side)
    ray_6R = np.empty((6, rows * side))
    hit_6H = np.empty((6, rows * side))
    length_R = np.empty(rows * side)
    plus_R = np.empty(rows * side)
    minus_R = np.empty(rows * side)
    trap_3R = np.empty((3, rows * side))
    point_3H = np.empty((3, rows * side))
    slope_3H = np.empty((3, rows * side))
    place_H = np.empty(rows * side, np.int64)
    along = np.array([_NEAR, _FAR, steps, reach, detour])
    to_light = np.array([_LIGHT_NEAR, _LIGHT_FAR, light_steps, reach, detour])
    shade = np.empty(3)
    image_GG3[:] = 255
    image = image_GG3.reshape(-1)
    for first in range(0, side, rows):
        count = (min(first + rows, side) - first) * side
        for k in range(count):
            across = (2.0 * (k % side + 0.5) - side) / (2.0 * side)
            upward = (2.0 * (side - 1 - first - k // side + 0.5) - side) / (2.0 * side)
            square = 0.0
            for c in range(3):
                v = view_43[3, c] * across + view_43[2, c] * upward + view_43[1, c]
                square += v * v
                ray_6R[c, k] = view_43[0, c]
                ray_6R[3 + c, k] = v
            norm = np.sqrt(square)
            for c in range(3):
                ray_6R[3 + c, k] /= norm
        march(map_FK, rounds, along, ray_6R, count, length_R)
        hits = 0
        for k in range(count):
            length = length_R[k]
            if length < _FAR:
                for c in range(3):
                    point_3H[c, hits] = ray_6R[c, k] + length * ray_6R[3 + c, k]
                place_H[hits] = (first * side + k) * 3
                hits += 1
        hit_6H[:3, :hits] = point_3H[:, :hits]
        for c in range(3):
            for h in range(hits):
                hit_6H[c, h] = point_3H[c, h] + _STEP
            evaluate(map_FK, rounds, False, hit_6H, hits, plus_R, trap_3R)
            for h in range(hits):
                hit_6H[c, h] = point_3H[c, h] - _STEP
            evaluate(map_FK, rounds, False, hit_6H, hits, minus_R, trap_3R)
            for h in range(hits):
                hit_6H[c, h] = point_3H[c, h]
                slope_3H[c, h] = plus_R[h] - minus_R[h]
        evaluate(map_FK, rounds, True, hit_6H, hits, plus_R, trap_3R)
        for h in range(hits):
            x, y, z = point_3H[0, h], point_3H[1, h], point_3H[2, h]
            gx, gy, gz = slope_3H[0, h], slope_3H[1, h], slope_3H[2, h]
            norm = np.sqrt(gx * gx + gy * gy + gz * gz)
            flat = not norm > 0.0
            gx = 0.0 if flat else gx / norm
            gy = 0.0 if flat else gy / norm
            gz = 0.0 if flat else gz / norm
            lx, ly, lz = _LIGHT[0] - x, _LIGHT[1] - y, _LIGHT[2] - z
            norm = np.sqrt(lx * lx + ly * ly + lz * lz)
            lx, ly, lz = lx / norm, ly / norm, lz / norm
            hit_6H[0, h] = x + gx / _LIFT
            hit_6H[1, h] = y + gy / _LIFT
            hit_6H[2, h] = z + gz / _LIFT
            hit_6H[3, h] = lx
            hit_6H[4, h] = ly
            hit_6H[5, h] = lz
            facing = -(lx * gx + ly * gy + lz * gz)
            facing = facing if facing > 0.0 else 0.0
            square = trap_3R[2, h] * trap_3R[2, h]
            shade[0] = _clamp(trap_3R[0, h])
            shade[1] = _clamp(_power_10(trap_3R[1, h] / 1.5))
            shade[2] = _clamp(square * square * trap_3R[2, h])
            strength = (_DIFFUSE * facing + _AMBIENT) * (x * x + y * y + z * z)
            for c in range(3):
                mixed = color_33[0, c] * shade[0] + color_33[1, c] * shade[1]
                slope_3H[c, h] = _clamp((mixed + color_33[2, c] * shade[2]) * strength)
        march(map_FK, rounds, to_light, hit_6H, hits, plus_R)
        for h in range(hits):
            lit = _LIT if plus_R[h] >= _LIGHT_FAR else 0.0
            for c in range(3):
                image[place_H[h] + c] = np.uint8(255.0 * _clamp(slope_3H[c, h] + lit) + 0.5)
