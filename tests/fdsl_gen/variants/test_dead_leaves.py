"""Dead leaves equal a slow twin that lays later leaves over earlier ones."""

import math

import numpy as np
import pytest

from fdsl_gen import load_recipe, render
from fdsl_gen.core.keys import Key, Stream
from fdsl_gen.kernels.elementary import cos, sin


def leaves_of(c: int, i: int, side: int, count: int):
    stream = Stream(Key(0, "instance", (c, i)))
    low, high = 1 / 112.0**2, 1 / (2.0 * (1 + c // 4)) ** 2
    for _ in range(count):
        u = [stream.uniform() for _ in range(9)]
        kind = min(int(u[0] * 3), 2) if c % 4 == 3 else c % 4
        part = (math.floor(u[1] * 1024) + 0.5) / 1024
        radius = 1 / math.sqrt(low + (high - low) * part)
        x, y = (u[k] * (side + 2 * radius) - radius for k in (2, 3))
        yield kind, radius, x, y, [int(u[k] * 256) for k in (4, 5, 6)], u[7], u[8]


def covers(leaf, column: int, row: int) -> bool:
    kind, radius, x, y, _, turn, ratio = leaf
    dx, dy = column + 0.5 - x, row + 0.5 - y
    if kind == 0:
        return dx * dx + dy * dy <= radius * radius
    if kind == 1:
        return abs(dx) <= radius and abs(dy) <= radius
    c, s = cos(turn * (2 * math.pi)), sin(turn * (2 * math.pi))
    tall = radius * (0.25 + 0.75 * ratio)
    return abs(dx * c + dy * s) <= radius and abs(dy * c - dx * s) <= tall


@pytest.mark.parametrize("c", [0, 1, 2, 3, 9])
def test_leaves(c):
    side = 24
    drawn = render(load_recipe("dead-leaves", image_size=side), c, 2)
    leaves = list(leaves_of(c, 2, side, drawn.parameters["num_leaves"]))
    expected = np.zeros((side, side, 3), np.uint8)
    covered = np.zeros((side, side), bool)
    for leaf in reversed(leaves):  # the first leaf lies on top
        for row in range(side):
            for column in range(side):
                if covers(leaf, column, row):
                    expected[row, column] = leaf[4]
                    covered[row, column] = True
    assert np.array_equal(drawn.image, expected)
    assert covered.all()


def test_few_leaves_leave_black():
    image = render(load_recipe("dead-leaves", leaves_max=1, image_size=64), 0, 0).image
    assert (image.reshape(-1, 3).any(axis=1)).mean() < 1
