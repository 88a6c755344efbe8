"""Images and masks equal the slow twins, pixel for pixel."""

import numpy as np
import pytest

from fdsl_gen.core.keys import Key, Stream
from fdsl_gen.geometry.contour import ellipse, grown
from fdsl_gen.recipe.jobs import render
from fdsl_gen.recipe.recipe import load_recipe
from tests.fdsl_gen.variants import naive_contours as naive

SILENT = {"noise_coefficient_min": 0.0, "noise_coefficient_max": 0.0}
FAR = {"ring_offset_min": 5.0, "ring_offset_max": 9.0}
# Circles: vertices on an axis lie exactly on whole pixels, where the last bit counts.
EXACT = SILENT | {"ring_offset_min": 1.0, "ring_offset_max": 1.0, "oval_rate_max": 1.0}
WITH_NOISE = {}
SETTINGS = [SILENT | FAR, EXACT, WITH_NOISE, {"image_size": 200}, {"image_size": 700}]


def figure_key(key: Key) -> Key:
    return key.derive(f"{key.role} figure", *key.indices)


def center_of(stream: Stream, spread: int, side: int) -> tuple[float, float]:
    x = (512 + stream.integer(-spread, spread)) / 2 * (side / 512)
    return x, (512 + stream.integer(-spread, spread)) / 2 * (side / 512)


@pytest.mark.parametrize("side", [512, 200])
@pytest.mark.parametrize("name", ["visualatom-1k", "segrcdb"])
def test_vertices_to_the_last_bit(name, side):
    """Which shows the order of operations even where no pixel does."""
    variant = load_recipe(name).variant
    for c in range(3):
        category = variant.category(c, Key(0, "category", (c,)))
        shape, radius, rates = category.shape, category.radius, category.oval_rates
        key = Key(0, "test", (c,))
        twin = naive.Figure(shape, key, side / 512, radius, rates, (0.0, 0.0))
        point = ellipse(shape, side / 512, radius, rates)
        assert point.tolist() == [twin.x, twin.y]
        list(grown(shape, side / 512, key, point, (0.0, 0.0), 40))
        for _ in range(40):
            twin.grow_waves() if name == "visualatom-1k" else twin.grow_radially()
        assert point.tolist() == [twin.x, twin.y]


@pytest.mark.parametrize("settings", [*SETTINGS, EXACT | {"amplitude_1": 0, "amplitude_2": 0}])
def test_visualatom(settings):
    recipe = load_recipe("visualatom-1k", num_orbits_max=60, num_vertices_max=500, **settings)
    side = recipe.variant.image_size
    for c in range(4):
        atom = recipe.variant.category(c, Key(0, "category", (c,)))
        for i in range(2):
            key = Key(0, "instance", (c, i))
            center = center_of(Stream(key), 512, side)
            expected = naive.visualatom(atom, figure_key(key), side, center)
            assert np.array_equal(render(recipe, c, i).image, expected)
            assert expected.any()


@pytest.mark.parametrize("background", ["black", "white"])
@pytest.mark.parametrize("settings", SETTINGS)
def test_rcdb(settings, background):
    recipe = load_recipe("rcdb-1k", background=background, **settings)
    side, paper = recipe.variant.image_size, {"black": 0, "white": 255}[background]
    for c in range(6):
        radial = recipe.variant.category(c, Key(0, "category", (c,)))
        for i in range(2):
            key = Key(0, "instance", (c, i))
            stream = Stream(key)
            radius = stream.integer(0, 100)
            most = recipe.variant.oval_rate_max
            rates = stream.uniform(1, most), stream.uniform(1, most)
            center = center_of(stream, 400, side)
            figure = figure_key(key)
            expected = naive.rcdb(radial, figure, side, radius, rates, center, paper)
            assert np.array_equal(render(recipe, c, i).image, expected)


@pytest.mark.parametrize("mask", ["M1", "M2", "M3"])
@pytest.mark.parametrize("settings", SETTINGS)
def test_segrcdb(settings, mask):
    recipe = load_recipe("segrcdb", num_objects=9, mask=mask, num_categories=40, **settings)
    side = recipe.variant.image_size
    for i in range(3):
        objects = []
        for number in range(9):
            stream = Stream(Key(0, "image object", (i, number)))
            c = stream.integer(0, 39)
            category = recipe.variant.category(c, Key(0, "category", (c,)))
            center = center_of(stream, 512, side)
            objects.append((category, Key(0, "image figure", (i, number)), center))
        drawn = render(recipe, None, i)
        image, expected = naive.segrcdb(objects, side, mask)
        assert np.array_equal(drawn.image, image)
        assert np.array_equal(drawn.mask, expected)


def test_polygons_that_segrcdb_really_fills():
    """With noise as strong as it gets the first and last contours cross themselves everywhere."""
    loud = {"noise_coefficient_min": 4.0, "num_contours_min": 2, "num_contours_max": 12}
    for mask in ("M2", "M3"):
        test_segrcdb(loud, mask)


@pytest.mark.parametrize("image_size", [128, 1024])
def test_broken_contours_grow_with_the_image(image_size):
    """The same part of the canvas is hit at every size: lengths and thicknesses are scaled."""
    settings = {"broken_contours": 40, "broken_length_min": 100.0, "broken_length_max": 100.0}
    settings |= {"broken_thickness_min": 32, "broken_thickness_max": 32}
    parts = []
    for size in (image_size, 512):
        variant = load_recipe("rcdb-1k", image_size=size, **settings).variant
        image = np.full((size, size), 255, np.uint8)
        variant._break(image, 0, Key(0, "instance", (1, 2)))
        parts.append(np.mean(image == 0))
    assert parts[0] == pytest.approx(parts[1], rel=0.1)


def test_broken_contours():
    whole = load_recipe("rcdb-1k", background="white")
    broken = load_recipe("rcdb-1k", background="white", broken_contours=1000)
    lost = []
    for c in range(12):
        before, after = render(whole, c, 0).image, render(broken, c, 0).image
        assert np.all((after == before) | (after == 255))
        lost.append(np.count_nonzero(after != before) / max(1, np.count_nonzero(before != 255)))
    # Much is broken, and yet the frame stays recognizable.
    assert min(lost) > 0.1
    assert max(lost) < 0.4
