"""Sets that FractalDB was compared with: equal to slow twins, pixel for pixel."""

import itertools
import math

import numpy as np
import pytest
from PIL import Image, ImageDraw

from fdsl_gen import load_recipe, render
from fdsl_gen.core.errors import FdslError
from fdsl_gen.core.keys import Key, Stream
from fdsl_gen.kernels.elementary import cos, sin


def noise_picture(key: Key, across: int, down: int, side: int) -> np.ndarray:
    stream = Stream(key)
    slope = {}
    for a in range(down + 1):
        for b in range(across + 1):
            angle = stream.uniform() * (2 * math.pi)
            slope[a, b] = cos(angle), sin(angle)

    def fade(t):
        return t * t * t * (t * (t * 6 - 15) + 10)

    def at(row, column):
        y, x = (row + 0.5) / side * down, (column + 0.5) / side * across
        a, b = math.floor(y), math.floor(x)
        v, u = y - a, x - b
        corner = {
            (j, i): slope[a + j, b + i][0] * (u - i) + slope[a + j, b + i][1] * (v - j)
            for j in (0, 1)
            for i in (0, 1)
        }
        north = corner[0, 0] + fade(u) * (corner[0, 1] - corner[0, 0])
        south = corner[1, 0] + fade(u) * (corner[1, 1] - corner[1, 0])
        return north + fade(v) * (south - north)

    values = [[at(row, column) for column in range(side)] for row in range(side)]
    low, high = min(map(min, values)), max(map(max, values))
    scale = 255 / (high - low)
    return np.array([[int((v - low) * scale + 0.5) for v in row] for row in values], np.uint8)


@pytest.mark.parametrize(("grid", "c", "side"), [(10, 0, 33), (10, 57, 48), (36, 1295, 70)])
def test_perlin_noise(grid, c, side):
    recipe = load_recipe("perlin-noise-100", grid_size=grid, image_size=side)
    key = Key(0, "instance", (c, 3))
    across, down = c % grid + 1, c // grid + 1
    drawn = render(recipe, c, 3)
    assert np.array_equal(drawn.image, noise_picture(key, across, down, side))
    assert (drawn.image.min(), drawn.image.max()) == (0, 255)
    assert drawn.parameters == {"waves_across": across, "waves_down": down}


def point_of_curve(points, t):
    """Horner's scheme for Bernstein polynomials."""
    degree = len(points) - 1
    s, power, choices = 1 - t, 1.0, 1.0
    x, y = points[0][0] * s, points[0][1] * s
    for m in range(1, degree):
        power *= t
        choices = choices * (degree - m + 1) / m
        x = (x + power * choices * points[m][0]) * s
        y = (y + power * choices * points[m][1]) * s
    power *= t
    return x + power * points[degree][0], y + power * points[degree][1]


def de_casteljau(points, t):
    while len(points) > 1:
        points = [
            ((1 - t) * x0 + t * x1, (1 - t) * y0 + t * y1)
            for (x0, y0), (x1, y1) in itertools.pairwise(points)
        ]
    return points[0]


def curves_picture(key: Key, curves: int, count: int, side: int) -> np.ndarray:
    stream, grays = Stream(key), Stream(key.derive("instance gray", *key.indices))
    image = Image.new("L", (side, side))
    pen = ImageDraw.Draw(image)
    for _ in range(curves):
        points = [(stream.uniform() * side, stream.uniform() * side) for _ in range(count)]
        gray = grays.integer(1, 255)
        steps = [
            math.sqrt((x1 - x0) * (x1 - x0) + (y1 - y0) * (y1 - y0))
            for (x0, y0), (x1, y1) in itertools.pairwise(points)
        ]
        pieces = int((count - 1) * max(steps) / 4) + 1
        last = points[0]
        for k in range(1, pieces + 1):
            place = point_of_curve(points, k / pieces)
            assert place == pytest.approx(de_casteljau(points, k / pieces), abs=1e-6 * side)
            assert math.dist(place, last) <= 4
            pen.line([int(v) for v in (*last, *place)], fill=gray, width=1)
            last = place
    return np.array(image)


@pytest.mark.slow
@pytest.mark.parametrize(("grid", "c", "side"), [(12, 0, 40), (12, 77, 64), (32, 1023, 48)])
def test_bezier_curves(grid, c, side):
    recipe = load_recipe("bezier-curve-144", grid_size=grid, image_size=side)
    curves, count = c % grid + 1, c // grid + 3
    drawn = render(recipe, c, 2)
    expected = curves_picture(Key(0, "instance", (c, 2)), curves, count, side)
    assert np.array_equal(drawn.image, expected)
    assert drawn.parameters == {"num_curves": curves, "num_control_points": count}


@pytest.mark.parametrize(("name", "count"), [("perlin-noise-100", 100), ("bezier-curve-144", 144)])
def test_a_grid_has_only_so_many_categories(name, count):
    recipe = load_recipe(name, image_size=16)
    render(recipe, count - 1)
    with pytest.raises(FdslError, match=f"has {count} categories, no number {count}"):
        render(recipe, count)
