"""Slow, obvious twins of colors, clouds and composition, in plain Python.

Pictures are nested lists of colors, which are exact fractions until they are rounded.
"""

import math
from fractions import Fraction

from fdsl_gen.core.keys import Key
from fdsl_gen.kernels.elementary import exp
from tests.fdsl_gen.variants.naive import word

BLACK = (0, 0, 0)


def unit(key: Key, index: int) -> float:
    return (word(key, index) >> 11) * 2.0**-53


def rounded(value) -> int:
    """Nearest, halves up."""
    return math.floor(value + Fraction(1, 2))


def rgb(hue, saturation, value, mode):
    """Color of a hue, saturation and value, each 0 .. 255, by the six sectors of the circle."""
    sixths = Fraction(2 * hue % 360, 60) if mode == "released" else Fraction(6 * hue, 256)
    sector = math.floor(sixths)
    f = sixths - sector
    s, v = Fraction(saturation, 255), value
    p, q, t = v * (1 - s), v * (1 - s * f), v * (1 - s * (1 - f))
    triple = [(v, t, p), (q, v, p), (p, v, t), (p, q, v), (t, p, v), (v, p, q)][sector]
    return tuple(rounded(part) for part in triple)


def colored(counts, look, settings):
    """Nested lists of colors; black where there is no hit."""
    shift, saturation, value = look
    most = max(max(row) for row in counts)
    picture = []
    for row in counts:
        line = []
        for count in row:
            if count == 0:
                line.append(BLACK)
            elif not settings.color:
                line.append((127, 127, 127))
            else:
                hue = math.trunc(255 * (count / most) + shift) % 256
                line.append(rgb(hue, saturation, value, settings.hue))
        picture.append(line)
    return picture


def flipped(picture, transpose, rows, columns):
    if transpose:
        picture = [list(line) for line in zip(*picture, strict=True)]
    if rows:
        picture = picture[::-1]
    if columns:
        picture = [line[::-1] for line in picture]
    return picture


def diamond_square(n, decay, key):
    """{(row, column): height} on a grid of 2**n + 1; a point's draw is word row * side + column."""
    last = 2**n
    draw = {(r, c): unit(key, r * (last + 1) + c) for r in range(last + 1) for c in range(last + 1)}
    grid = {(r, c): draw[r, c] for r in (0, last) for c in (0, last)}
    for k in range(1, n + 1):
        h = last // 2**k
        m = 0.5 * exp(decay * (1 - k))

        def moved(place, total, m=m):
            grid[place] = total * 0.25 + (-m + (m - -m) * draw[place])

        for r in range(h, last, 2 * h):
            for c in range(h, last, 2 * h):
                corners = grid[r - h, c - h] + grid[r - h, c + h]
                moved((r, c), corners + grid[r + h, c - h] + grid[r + h, c + h])
        for r in range(0, last + 1, h):
            for c in range(0, last + 1, h):
                if (r // h + c // h) % 2:
                    up = last - h if r == 0 else r - h
                    down = h if r == last else r + h
                    left = last - h if c == 0 else c - h
                    right = h if c == last else c + h
                    moved((r, c), grid[up, c] + grid[r, left] + grid[r, right] + grid[down, c])
    return grid


def cloud_color(x, look, mode):
    (hs, h0), (ss, s0), (vs, v0) = look
    hue = math.trunc(255 * (x * hs + h0)) % 256
    saturation = max(math.trunc(min(255 * (x * ss + s0), 255)), 0)
    value = max(math.trunc(min(255 * (x * vs + v0), 255)), 0)
    return rgb(hue, saturation, value, mode)


def background(settings, sky, key):
    side = settings.image_size
    if not settings.background:
        return [[BLACK] * side for _ in range(side)]
    decay, look = sky
    grid = diamond_square(math.ceil(math.log2(side)), decay, key)
    return [[cloud_color(grid[r, c], look, settings.hue) for c in range(side)] for r in range(side)]


# Composition


def paste(picture, over, top=0, left=0):
    """``over`` where any of its channels is not zero and the picture goes on."""
    for r, line in enumerate(over):
        for c, color in enumerate(line):
            inside = 0 <= top + r < len(picture) and 0 <= left + c < len(picture)
            if inside and any(color):
                picture[top + r][left + c] = color


def resized(picture, size):
    """Bilinear, half-pixel centers, edges repeated; halves up."""
    side = len(picture)

    def taps(i):
        place = Fraction(2 * i + 1, 2) * side / size - Fraction(1, 2)
        before = math.floor(place)
        weight = place - before
        return max(before, 0), min(before + 1, side - 1), weight

    result = []
    for r in range(size):
        above, below, down = taps(r)
        line = []
        for c in range(size):
            before, after, right = taps(c)
            corners = zip(
                picture[above][before],
                picture[above][after],
                picture[below][before],
                picture[below][after],
                strict=True,
            )
            line.append(
                tuple(
                    rounded(
                        (1 - down) * ((1 - right) * p + right * q)
                        + down * ((1 - right) * s + right * t)
                    )
                    for p, q, s, t in corners
                )
            )
        result.append(line)
    return result


def blurred(picture, k1):
    """[k1, 256 - 2 k1, k1] / 256 both ways, rounded once; the border is mirrored."""
    weights = {-1: k1, 0: 256 - 2 * k1, 1: k1}

    def mirrored(i, count):
        return -i if i < 0 else 2 * (count - 1) - i if i >= count else i

    height, width = len(picture), len(picture[0])
    result = []
    for r in range(height):
        line = []
        for c in range(width):
            total = [0, 0, 0]
            for i, u in weights.items():
                for j, v in weights.items():
                    near = picture[mirrored(r + i, height)][mirrored(c + j, width)]
                    total = [sum_ + u * v * part for sum_, part in zip(total, near, strict=True)]
            line.append(tuple(rounded(Fraction(part, 2**16)) for part in total))
        result.append(line)
    return result


def blur_weight(sigma):
    e = exp(-1 / (2 * sigma * sigma))
    return math.floor(256 * e / (1 + 2 * e) + 0.5)


def finished(picture, sigma):
    return picture if sigma is None else blurred(picture, blur_weight(sigma))
