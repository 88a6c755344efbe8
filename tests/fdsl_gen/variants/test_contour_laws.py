"""Parameters follow their laws, both ends of every range included."""

import math

import numpy as np
import pytest

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.keys import Key, Stream
from fdsl_gen.geometry.contour import exponential_count
from fdsl_gen.recipe.jobs import render
from fdsl_gen.recipe.recipe import load_recipe

COUNT = 6000


def categories(name: str, **settings):
    variant = load_recipe(name, **settings).variant
    return [variant.category(c, Key(1, "category", (c,))) for c in range(COUNT)]


def assert_uniform_integer(values, low: int, high: int) -> None:
    assert (min(values), max(values)) == (low, high)
    spread = math.sqrt(((high - low + 1) ** 2 - 1) / 12)
    assert abs(np.mean(values) - (low + high) / 2) < 4 * spread / math.sqrt(len(values))


def assert_uniform_real(values, low: float, high: float) -> None:
    edge = (high - low) * 0.002
    assert low <= min(values) < low + edge
    assert high - edge < max(values) <= high
    error = (high - low) / math.sqrt(12 * len(values))
    assert abs(np.mean(values) - (low + high) / 2) < 4 * error


def assert_noise(shapes) -> None:
    assert_uniform_real([s.noise_coefficient for s in shapes], 0, 4)
    assert_uniform_real([s.ring_offset for s in shapes], 0, 0.1)


def assert_truncated_exponential(values, least: int, most: int) -> None:
    """int(Exp(100)) drawn until least .. most."""
    assert (min(values), max(values)) == (least, most)
    chance = np.exp(-np.arange(least, most + 1) / 100)
    chance /= chance.sum()
    numbers = np.arange(least, most + 1)
    mean = (chance * numbers).sum()
    spread = math.sqrt((chance * (numbers - mean) ** 2).sum())
    assert abs(np.mean(values) - mean) < 4 * spread / math.sqrt(len(values))


def test_visualatom():
    atoms = categories("visualatom-1k")
    assert_uniform_integer([a.shape.num_vertices for a in atoms], 200, 1000)
    assert_uniform_integer([a.num_orbits for a in atoms], 1, 200)
    assert_uniform_integer([a.radius for a in atoms], 10, 60)
    assert_noise([a.shape for a in atoms])
    for axis in range(2):
        assert_uniform_real([a.oval_rates[axis] for a in atoms], 1, 2)
        frequencies = [a.shape.frequencies[axis] for a in atoms]
        assert (min(frequencies), max(frequencies)) == (0, 20)


def test_frequencies_are_equal_only_where_both_are_zero():
    pairs = [a.shape.frequencies for a in categories("visualatom-1k")]
    equal = [one for one, other in pairs if one == other]
    assert set(equal) == {0}
    assert COUNT / 441 * 0.4 < len(equal) < COUNT / 441 * 2
    fixed = load_recipe("visualatom-1k", frequency_min=20, frequency_max=20).variant
    assert fixed.category(0, Key(0, "category", (0,))).shape.frequencies == (20, 20)


def test_rcdb():
    radials = categories("rcdb-1k")
    assert_truncated_exponential([r.shape.num_vertices for r in radials], 3, 200)
    assert_uniform_integer([r.num_contours for r in radials], 1, 200)
    assert_noise([r.shape for r in radials])


def test_rcdb_instances():
    recipe = load_recipe("rcdb-1k", num_contours_max=1, num_vertices_max=5)
    drawn = [render(recipe, 0, i).parameters for i in range(COUNT)]
    assert_uniform_integer([d["radius"] for d in drawn], 0, 100)
    for axis in "xy":
        assert_uniform_real([d[f"oval_rate_{axis}"] for d in drawn], 1, 2)
        doubled = [2 * d[f"center_{axis}"] - 512 for d in drawn]
        assert_uniform_integer(doubled, -400, 400)


def test_segrcdb():
    figures = categories("segrcdb")
    assert_truncated_exponential([f.shape.num_vertices for f in figures], 3, 500)
    assert_uniform_integer([f.num_contours for f in figures], 1, 50)
    assert_uniform_integer([f.radius for f in figures], 0, 50)
    assert_noise([f.shape for f in figures])
    for axis in range(2):
        assert_uniform_real([f.oval_rates[axis] for f in figures], 1, 2)


def test_visualatom_centers():
    recipe = load_recipe("visualatom-1k", num_orbits_max=1, num_vertices_min=3, num_vertices_max=4)
    drawn = [render(recipe, 0, i).parameters for i in range(COUNT)]
    for axis in "xy":
        assert_uniform_integer([2 * d[f"center_{axis}"] - 512 for d in drawn], -512, 512)


def test_exponential_counts_of_unlikely_ranges():
    stream = Stream(Key(0, "test"))
    assert {exponential_count(stream, 100, 7, 8) for _ in range(50)} == {7, 8}


def test_grays():
    """Every gray occurs; in RCDB the brightest is drawn for 255 and for 256."""
    counts = {}
    for name in ("rcdb-1k", "visualatom-1k"):
        recipe = load_recipe(name, noise_coefficient_max=0.0, center_spread=0)
        seen = np.zeros(256)
        for c in range(40):
            seen[np.unique(render(recipe, c, 0).image)] += 1
        counts[name] = seen
        assert np.all(seen > 0)
    assert counts["rcdb-1k"][255] > counts["rcdb-1k"][1:255].mean() * 1.2


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("rcdb-1k", {"num_contours_min": 300}, "num_contours_min: must be at most num_contours"),
        ("rcdb-1k", {"num_vertices_mean": 0.2}, "num_vertices_mean: counts of mean 0.2 are hardly"),
        ("rcdb-1k", {"num_vertices_min": 2}, "num_vertices_min: must be at least 3"),
        ("visualatom-1k", {"frequency_min": 21}, "frequency_min: must be at most frequency_max"),
        ("visualatom-1k", {"oval_rate_min": 2.5}, "oval_rate_min: must be at most oval_rate_max"),
        ("linedb-16", {"gray_min": 9, "gray_max": 3}, "gray_min: must be at most gray_max"),
        ("segrcdb", {"num_vertices_max": 2}, "num_vertices_max: must be at least 3"),
        ("segrcdb", {"num_categories": 256}, "num_categories: masks tell at most 255 apart"),
        ("segrcdb", {"mask": "M4"}, "mask: must be one of M1, M2, M3"),
    ],
)
def test_impossible_settings(name, settings, sentence):
    with pytest.raises(UsageError, match=sentence):
        load_recipe(name, **settings)
