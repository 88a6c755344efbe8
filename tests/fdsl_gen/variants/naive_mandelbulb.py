"""Slow twin of the Mandelbulb pictures: one point, one ray, one pixel after the other.

Nothing is shared with the package but its logarithm, sine and cosine.
"""

import math

import numpy as np
from PIL import Image

from fdsl_gen.kernels.elementary import cos, log, sin


def power_of(re, im, n):
    """(re + i im) ** n, by squaring from the most significant bit."""
    a, b = re, im
    for bit in bin(n)[3:]:
        a, b = a * a - b * b, (a + a) * b
        if bit == "1":
            a, b = a * re - b * im, a * im + b * re
    return a, b


def radius_power(r, r2, n):
    value = r2
    for bit in bin(n // 2)[3:]:
        value = value * value
        if bit == "1":
            value = value * r2
    return value * r if n % 2 else value


FOUR = (1.5707288, 0.2121144, 0.0742610, 0.0187293)
EIGHT = (1.5707963050, 0.2145988016, 0.0889789874, 0.0501743046)
EIGHT += (0.0308918810, 0.0170881256, 0.0066700901, 0.0012624911)


def bent(z, r):
    """The point turned as far as arccosines of four and of eight terms differ."""
    x, y, height = z
    rho = math.sqrt(x * x + y * y)
    if rho == 0:
        return z
    a, p = abs(height) / r, EIGHT[7]
    for k in range(6, -1, -1):
        sign = 1 if k % 2 else -1
        p = p * a + sign * (EIGHT[k] - (FOUR[k] if k < 4 else 0))
    angle = math.sqrt(max(1 - a, 0.0)) * p
    angle = -angle if height < 0 else angle
    cosine = 1 - 0.5 * angle * angle
    out = cosine + angle * (height / rho)
    return x * out, y * out, cosine * height - angle * rho


def powered(z, n, rule, as_released=False):
    """The power of z by a rule, without the point that is added."""
    x, y, height = z
    r2 = x * x + y * y + height * height
    r = math.sqrt(r2)
    if as_released:
        x, y, height = bent(z, r)
    rho2 = x * x + y * y
    rho = math.sqrt(rho2)
    u = (r, 0.0) if rho2 == 0 else (x * (r / rho), y * (r / rho))
    phi, theta = power_of(*u, n), power_of(height, rho, n)
    found = []
    for k in range(3):
        bits = [int(b) for b in f"{rule:09b}"[3 * k : 3 * k + 3]]
        value = (theta if bits[1] else phi)[bits[0]]
        found.append(-value if bits[2] else value)
    return found, radius_power(r, r2, n)


def distance(p, maps, rounds):
    """Distance from the surface, and the three traps."""
    z, slope = list(p), 1.0
    traps = [math.inf] * 3
    r2 = 0.0

    def ended():
        nonlocal r2
        r2 = z[0] * z[0] + z[1] * z[1] + z[2] * z[2]
        return r2 > 16

    for step in range(rounds * len(maps)):
        if ended():
            break
        n, *rule = maps[step % len(maps)]
        moved, r_n = powered(z, n, *rule)
        slope = r_n * n * slope + 1
        z = [value + start for value, start in zip(moved, p, strict=True)]
        x, y, height = map(abs, z)
        traps[0] = min(traps[0], height)
        traps[1] = min(traps[1], x + y + height)
        traps[2] = min(traps[2], x * x + y * y + height * height)
    if r2 == 0:
        return 0.0, traps
    return 0.25 * log(r2) * (math.sqrt(r2) / slope), traps


def at(origin, direction, length):
    return [o + length * d for o, d in zip(origin, direction, strict=True)]


def march(origin, direction, maps, rounds, near, far, steps):
    length = 0.0
    for _ in range(steps):
        found, _ = distance(at(origin, direction, length), maps, rounds)
        if not found > near:
            break
        length += found
        if length >= far:
            break
    return length


def clamp(x):
    return min(x, 1.0) if x > 0 else 0.0


def color_at(p, maps, rounds, colors, light_steps):
    _, traps = distance(p, maps, rounds)
    slope = []
    for axis in range(3):
        ends = []
        for step in (0.001, -0.001):
            moved = list(p)
            moved[axis] += step
            ends.append(distance(moved, maps, rounds)[0])
        slope.append(ends[0] - ends[1])
    size = math.sqrt(slope[0] * slope[0] + slope[1] * slope[1] + slope[2] * slope[2])
    slope = [s / size for s in slope] if size > 0 else [0.0] * 3
    light = [a - b for a, b in zip((-10.0, 10.0, 10.0), p, strict=True)]
    size = math.sqrt(light[0] * light[0] + light[1] * light[1] + light[2] * light[2])
    light = [v / size for v in light]
    facing = -(light[0] * slope[0] + light[1] * slope[1] + light[2] * slope[2])
    middle = traps[1] / 1.5
    middle = (
        ((middle * middle) * (middle * middle))
        * ((middle * middle) * (middle * middle))
        * (middle * middle)
    )
    last = traps[2] * traps[2]
    shades = [clamp(traps[0]), clamp(middle), clamp(last * last * traps[2])]
    strength = 0.9 * max(facing, 0.0) + 0.3
    strength *= p[0] * p[0] + p[1] * p[1] + p[2] * p[2]
    above = [a + b / 100000 for a, b in zip(p, slope, strict=True)]
    beyond = march(above, light, maps, rounds, 0.0001, 10000.0, light_steps) >= 10000
    pixel = []
    for c in range(3):
        mixed = sum_of(colors[k][c] * shades[k] for k in range(3))
        value = clamp(mixed * strength) + (0.2 if beyond else 0.0)
        pixel.append(int(255 * clamp(value) + 0.5))
    return pixel


def sum_of(values):
    total = None
    for value in values:
        total = value if total is None else total + value
    return total


def turned(v, tilt, turn):
    x, y, z = v
    y, z = cos(tilt) * y - sin(tilt) * z, sin(tilt) * y + cos(tilt) * z
    return cos(turn) * x - sin(turn) * y, sin(turn) * x + cos(turn) * y, z


def picture(maps, angles, colors, side, over, rounds, steps, light_steps):
    """The picture, uint8 (side, side, 3).

    Maps are (power, rule), or (power, rule, True) for theta as in the released images.
    """
    ahead, up = turned((0.0, -1.0, 0.0), *angles), turned((0.0, 0.0, 1.0), *angles)
    right = (
        ahead[1] * up[2] - ahead[2] * up[1],
        ahead[2] * up[0] - ahead[0] * up[2],
        ahead[0] * up[1] - ahead[1] * up[0],
    )
    eye = [-2.5 * a for a in ahead]
    grid = side * over
    large = np.full((grid, grid, 3), 255, np.uint8)
    for i in range(grid):
        for j in range(grid):  # from the bottom
            across, upward = ((2 * (k + 0.5) - grid) / (2 * grid) for k in (i, j))
            v = [r * across + u * upward + a for r, u, a in zip(right, up, ahead, strict=True)]
            size = math.sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2])
            v = [value / size for value in v]
            length = march(eye, v, maps, rounds, 0.001, 10.0, steps)
            if length < 10:
                p = at(eye, v, length)
                large[grid - 1 - j, i] = color_at(p, maps, rounds, colors, light_steps)
    small = Image.fromarray(large).resize((side, side), Image.Resampling.LANCZOS)
    return np.array(small)
