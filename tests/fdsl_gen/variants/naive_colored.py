"""Slow, obvious twins of the colored fractals, written from their definition in plain Python.

Nothing here is shared with the package except the generator of random words and the elementary
functions.
"""

import math

from fdsl_gen.core.keys import Key
from fdsl_gen.kernels.elementary import cos, sin
from tests.fdsl_gen.variants import naive_pictures as pictures
from tests.fdsl_gen.variants.naive import choose_map, determinant_probabilities, word


class Draws:
    """Values read one after another from the words of a key."""

    def __init__(self, key: Key) -> None:
        self.key = key
        self.used = 0

    def word(self) -> int:
        self.used += 1
        return word(self.key, self.used - 1)

    def uniform(self, low=0.0, high=1.0) -> float:
        return low + (high - low) * ((self.word() >> 11) * 2.0**-53)

    def integer(self, low, high) -> int:
        bits = (high - low).bit_length()
        while True:
            value = self.word() >> (64 - bits)
            if value <= high - low:
                return low + value


# Systems


def sample_factors(draws, num_maps, sigma):
    """[(U, (s1, s2), V, (e, f))] of a contractive system."""
    p, q = sigma, sigma - 3 * num_maps + 3
    pairs = []
    for _ in range(num_maps - 1):
        s1 = draws.uniform(max(0.0, q / 3), min(1.0, p))
        q -= s1
        p -= s1
        s2 = draws.uniform(max(0.0, q / 2), min(s1, p / 2))
        q = q - 2 * s2 + 3
        p -= 2 * s2
        pairs.append((s1, s2))
    s2 = draws.uniform(max(0.0, (p - 1) / 2), p / 3)
    pairs.append((p - 2 * s2, s2))
    factors = []
    for pair in pairs:
        u, v = rotation(draws), rotation(draws)
        e = draws.uniform(-1, 1)
        factors.append((u, pair, v, (e, draws.uniform(-1, 1))))
    return factors


def rotation(draws):
    angle = draws.uniform(-math.pi, math.pi)
    one = 1 if draws.integer(0, 1) else -1
    two = 1 if draws.integer(0, 1) else -1
    return [[cos(angle) * one, -sin(angle) * two], [sin(angle) * one, cos(angle) * two]]


def compose(factors):
    """Rows a b c d e f."""
    maps = []
    for u, (s1, s2), v, translation in factors:
        product = [u[i][0] * s1 * v[0][j] + u[i][1] * s2 * v[1][j] for i in (0, 1) for j in (0, 1)]
        maps.append([*product, *translation])
    return maps


def category(settings, key):
    """(factors, maps, sigma)."""
    draws = Draws(key)
    count = draws.integer(settings.num_maps_min, settings.num_maps_max)
    low, high = (settings.sigma_offset_min + count) / 2, (settings.sigma_offset_max + count) / 2
    sigma = draws.uniform(low, high)
    factors = sample_factors(draws, count, sigma)
    return factors, compose(factors), sigma


def largest_singular_value(maps):
    """From the eigenvalues of the matrix times its transpose."""
    found = []
    for a, b, c, d, _, _ in maps:
        trace = a * a + b * b + c * c + d * d
        determinant = (a * d - b * c) ** 2
        found.append(math.sqrt((trace + math.sqrt(max(trace**2 - 4 * determinant, 0.0))) / 2))
    return max(found)


def turned(matrix, angle):
    s, c = sin(angle), cos(angle)
    (a, b), (d, e) = matrix
    return [[c * a - s * d, c * b - s * e], [s * a + c * d, s * b + c * e]]


def jitter_once(settings, draws, factors, maps, sigma_range):
    maps = [list(row) for row in maps]
    factors = list(factors)
    count = len(maps)
    if settings.jitter == "scale":
        j = draws.integer(0, count - 1)
        factor = draws.uniform(settings.jitter_scale_min, settings.jitter_scale_max)
        maps[j] = [value * factor for value in maps[j]]
        return maps
    if settings.jitter == "entry":
        places = [draws.integer(0, 5) for _ in maps]
        factor = 1.0 + (draws.integer(0, 4) - 2) * settings.jitter_level / 10
        for row, place in zip(maps, places, strict=True):
            row[place] *= factor
        return maps
    j = draws.integer(0, count - 1)
    u, (s1, s2), v, (e, f) = factors[j]
    if settings.jitter == "svd":
        part = draws.integer(0, 2)
        if part == 2:
            e += draws.uniform(-settings.jitter_shift, settings.jitter_shift)
            f += draws.uniform(-settings.jitter_shift, settings.jitter_shift)
        else:
            angle = draws.uniform(-settings.jitter_rotation, settings.jitter_rotation)
            u, v = (turned(u, angle), v) if part == 0 else (u, turned(v, angle))
    else:
        others = 0.0
        for i, (_, (t1, t2), _, _) in enumerate(factors):
            if i != j:
                others += t1 + 2 * t2
        low, high = sigma_range
        m = (draws.uniform(max(low, others), high) - others) / (s1 + 2 * s2)
        s1, s2 = s1 * m, s2 * m
    factors[j] = (u, (s1, s2), v, (e, f))
    return compose(factors)


def jitter(settings, draws, factors, maps):
    count = len(maps)
    sigma_range = ((settings.sigma_offset_min + count) / 2, (settings.sigma_offset_max + count) / 2)
    if settings.jitter != "none":
        for attempt in range(settings.jitter_attempts):
            changed = jitter_once(settings, draws, factors, maps, sigma_range)
            if largest_singular_value(changed) <= 1:
                return changed, attempt + 1
    return maps, 0


# Hits


def points(maps, key, num_points):
    """Images of the fixed point of the first map, under a fresh sequence of maps."""
    a, b, c, d, e, f = maps[0]
    determinant = (1 - a) * (1 - d) - b * c
    x, y = ((1 - d) * e + b * f) / determinant, (c * e + (1 - a) * f) / determinant
    probabilities = determinant_probabilities(maps)
    found = []
    for t in range(num_points):
        a, b, c, d, e, f = maps[choose_map(pictures.unit(key, t), probabilities)]
        x, y = a * x + b * y + e, c * x + d * y + f
        found.append((x, y))
    return found


def pixel(value, low, high, side):
    return math.trunc((value - low) * ((side - 1) / (high - low))) if high > low else 0


def hits(trajectory, windows, patch, side):
    """Rows of counts; ``patch`` is nine bits, row by row."""
    (low_x, high_x), (low_y, high_y) = windows
    canvas = [[0] * side for _ in range(side)]
    for x, y in trajectory:
        row, column = pixel(x, low_x, high_x, side), pixel(y, low_y, high_y, side)
        for i in range(3):
            for j in range(3):
                r, c = row + i - 1, column + j - 1
                if patch[3 * i + j] and 0 <= r < side and 0 <= c < side:
                    canvas[r][c] += 1
    return canvas


def window(values, move, size):
    low, high = min(values), max(values)
    extent = high - low
    center = (low + high) / 2 + extent * move
    half_width = extent * size / 2
    return center - half_width, center + half_width


# Draws of an image


def sample_look(settings, draws):
    """Flips, and (shift, saturation, value)."""
    flips = [draws.uniform() < settings.flip_probability for _ in range(3)]
    shift = draws.uniform(settings.hue_shift_min, settings.hue_shift_max)
    saturation = math.trunc(255 * draws.uniform(settings.saturation_min, settings.saturation_max))
    value = math.trunc(255 * draws.uniform(settings.value_min, settings.value_max))
    return flips, (shift, saturation, value)


def sample_background(settings, draws):
    """(decay, ((scale, shift) of hue, saturation, value))."""
    decay = draws.uniform(settings.cloud_decay_min, settings.cloud_decay_max)
    look = []
    for name in ("hue", "saturation", "value"):
        pair = []
        for part in ("scale", "shift"):
            ends = [getattr(settings, f"cloud_{name}_{part}_{end}") for end in ("min", "max")]
            pair.append(draws.uniform(*ends))
        look.append(pair)
    return decay, look


def sample_blur(settings, draws):
    blurred = draws.uniform() < settings.blur_probability
    sigma = draws.uniform(settings.blur_sigma_min, settings.blur_sigma_max)
    return sigma if blurred else None


# Images


def patch_bits(draws):
    return [int(bit) for bit in f"{draws.integer(1, 511):09b}"]


def fractal_color(settings, category_key, key):
    """Nested lists of colors of an image of fractal-color, and the system that it shows."""
    factors, maps, _ = category(settings, category_key)
    draws = Draws(key)
    patch = patch_bits(draws)
    reach = settings.window_shift
    moves = [draws.uniform(-reach, reach) for _ in range(2)]
    sizes = [draws.uniform(settings.window_scale_min, settings.window_scale_max) for _ in range(2)]
    flips, look = sample_look(settings, draws)
    sky = sample_background(settings, draws)
    sigma = sample_blur(settings, draws)
    maps, _ = jitter(settings, draws, factors, maps)
    trajectory = points(maps, key.derive("instance maps", *key.indices), settings.num_points)
    windows = [
        window([point[axis] for point in trajectory], moves[axis], sizes[axis]) for axis in (0, 1)
    ]
    counts = hits(trajectory, windows, patch, settings.image_size)
    picture = pictures.background(settings, sky, key.derive("instance clouds", *key.indices))
    if any(map(any, counts)):
        pictures.paste(picture, pictures.colored(pictures.flipped(counts, *flips), look, settings))
    return pictures.finished(picture, sigma), maps


def multi_fractal(settings, key, num_categories):
    """Nested lists of colors of an image of multi-fractal, and its labels."""
    draws = Draws(key)
    count = draws.integer(settings.num_objects_min, settings.num_objects_max)
    sky = sample_background(settings, draws)
    sigma = sample_blur(settings, draws)
    side = settings.image_size
    picture = pictures.background(settings, sky, key.derive("image clouds", *key.indices))
    labels = set()
    for number in range(count):
        own = Draws(key.derive("image object", *key.indices, number))
        label = own.integer(0, num_categories - 1)
        labels.add(label)
        patch = patch_bits(own)
        flips, look = sample_look(settings, own)
        size = math.trunc(side * own.uniform(settings.object_size_min, settings.object_size_max))
        size = max(size, 1)
        left = own.integer(-(size // 2), side - 1 - size // 2)
        top = own.integer(-(size // 2), side - 1 - size // 2)
        _, maps, _ = category(settings, key.derive("category", label))
        sequence = key.derive("image object maps", *key.indices, number)
        trajectory = points(maps, sequence, settings.num_points)
        windows = [
            (min(p[axis] for p in trajectory), max(p[axis] for p in trajectory)) for axis in (0, 1)
        ]
        counts = hits(trajectory, windows, patch, settings.object_canvas)
        tile = pictures.colored(pictures.flipped(counts, *flips), look, settings)
        pictures.paste(picture, pictures.resized(tile, size), top, left)
    return pictures.finished(picture, sigma), tuple(sorted(labels))
