"""Interference fringes equal a slow twin, pixel for pixel."""

import math

import numpy as np
import pytest

from fdsl_gen import load_recipe, render
from fdsl_gen.core.keys import Key, Stream
from fdsl_gen.kernels.elementary import cos, sin


def fringes(c: int, i: int, side: int) -> np.ndarray:
    stream = Stream(Key(0, "category", (c,)))
    count, product = stream.integer(2, 3), stream.integer(0, 1)
    kinds = []
    for _ in range(count):
        waves, direction = stream.uniform(4, 60), 2 * math.pi * stream.uniform()
        kinds.append((stream.integer(0, 1), waves, direction))
    stream = Stream(Key(0, "instance", (c, i)))
    looks = []
    for _ in kinds:
        center = stream.uniform(-0.5, 1.5), stream.uniform(-0.5, 1.5)
        looks.append((center, stream.uniform(), stream.uniform(0, 1 / 3)))

    def wave(kind, look, x, y, color):
        circular, waves, direction = kind
        (center_x, center_y), phase, step = look
        if circular:
            dx, dy = x - center_x, y - center_y
            turn = math.sqrt(dx * dx + dy * dy) * waves
        else:
            turn = x * (waves * cos(direction)) + y * (waves * sin(direction))
        part = math.floor((turn + (phase + color * step + 1024)) * 4096) % 4096
        return cos(2 * math.pi * (part + 0.5) / 4096)

    image = np.empty((side, side, 3), np.uint8)
    for row in range(side):
        for column in range(side):
            x, y = (column + 0.5) / side, (row + 0.5) / side
            for color in range(3):
                waves = [wave(k, o, x, y, color) for k, o in zip(kinds, looks, strict=True)]
                value = waves[0]
                for other in waves[1:]:
                    value = value * other if product else value + other
                scale = 127.5 if product else 127.5 / count
                image[row, column, color] = int(value * scale + 128)
    return image


@pytest.mark.parametrize("c", range(6))
def test_fringes(c):
    drawn = render(load_recipe("moire-224", image_size=32), c, 5).image
    assert np.array_equal(drawn, fringes(c, 5, 32))
    assert len(np.unique(drawn)) > 50


def test_categories_are_of_both_kinds():
    variant = load_recipe("moire-224").variant
    found = [variant.category(c, Key(0, "category", (c,))) for c in range(40)]
    assert {len(one.grating_M4) for one in found} == {2, 3}
    assert {one.product for one in found} == {True, False}
    assert {float(g[0]) for one in found for g in one.grating_M4} == {0.0, 1.0}
