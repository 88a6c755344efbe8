"""Slow, obvious twins of the kernels: plain loops written from the definitions of the datasets.

Nothing here is shared with the package except the generator of random words.
"""

import math

import numpy as np

from fdsl_gen.core.keys import Key, words

PAD = 6


def word(key: Key, index: int) -> int:
    return int(words(key.words, 1, index)[0])


def patch_mask(key: Key, t: int) -> int:
    """The 9-bit mask of point t, most significant bit first in row-major order."""
    raw = (word(key, t // 7) >> (9 * (t % 7))) & 511
    if raw == 0:
        spare = word(key, 2**32 + t)
        fields = [(spare >> (9 * k)) & 511 for k in range(7)]
        raw = next((field for field in fields if field), 1)
    return int(f"{raw:09b}"[::-1], 2)


def choose_map(u: float, probabilities: list[float]) -> int:
    reached = 0.0
    for j, p in enumerate(probabilities):
        reached += p
        if u <= reached:
            return j
    return len(probabilities) - 1


def determinant_probabilities(maps) -> list[float]:
    sizes = [abs(a * d - b * c) for a, b, c, d, _, _ in maps]
    total = 0.0
    for size in sizes:
        total += size
    return [size / total for size in sizes]


def trajectory(maps, probabilities, uniforms) -> list[tuple[float, float]]:
    """The origin and one point for each but the last of the uniforms."""
    x = y = 0.0
    points = [(x, y)]
    for u in uniforms[:-1]:
        a, b, c, d, e, f = maps[choose_map(u, probabilities)]
        x, y = a * x + b * y + e, c * x + d * y + f
        points.append((x, y))
    return points


def without_divergence(points):
    for k, (x, _) in enumerate(points):
        if math.isnan(x):
            return points[: max(k - 100, 0)]
    return points


def rescale(values: list[float], side: int) -> list[int]:
    low = min(v for v in values if not math.isnan(v))
    high = max(v for v in values if not math.isnan(v))
    extent = high - low
    pixels = []
    for v in values:
        if low < 0:
            v = v - low
        if extent == 0:
            pixels.append(PAD)
            continue
        with np.errstate(invalid="ignore"):
            place = float(np.float64(v) / np.float64(extent)) * (side - 2.0 * PAD) + PAD
        pixels.append(0 if math.isnan(place) else int(place))
    return pixels


def hue_color(t: int) -> tuple[int, int, int]:
    """Stored color of point t in FractalDB's color mode, red and blue exchanged as released."""
    h = (t % 128) / 128
    k = math.floor(6 * h)
    f = 6 * h - k
    v, low = 191, 47
    q = math.trunc(191.25 * (1 - 0.75 * f))
    r = math.trunc(191.25 * (1 - 0.75 * (1 - f)))
    return [(low, r, v), (low, v, q), (r, v, low), (v, q, low), (v, low, r), (q, low, v)][k]


def draw_fractal(maps, probabilities, uniforms, side, mode, masks=None, color=False) -> np.ndarray:
    """The picture of a system; ``masks`` gives the 9-bit mask of every point."""
    image = np.zeros((side, side, 3), np.uint8)
    points = without_divergence(trajectory(maps, probabilities, uniforms))
    if points:
        columns = rescale([x for x, _ in points], side)
        rows = rescale([y for _, y in points], side)
        for t, (column, row) in enumerate(zip(columns, rows, strict=True)):
            value = hue_color(t) if color else (127, 127, 127)
            if mode == "point":
                image[row, column] = value
                continue
            mask = 511 if mode == "fill" else masks[t]
            for k in range(9):
                bit = (mask >> (8 - k)) & 1
                image[row + 1 + k // 3, column + 1 + k % 3] = value if bit else 0
    return image[::-1] if color else image[::-1, :, 0]
