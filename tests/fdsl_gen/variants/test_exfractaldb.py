"""The 3-D sets equal their twin; tables, cameras and searches are what the definition says."""

import math

import numpy as np
import pytest

from fdsl_gen import generate, load_recipe, open_dataset, render
from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.keys import Key, Stream
from fdsl_gen.geometry import camera, ifs
from fdsl_gen.kernels import space
from fdsl_gen.recipe.jobs import Categories
from tests.fdsl_gen.variants import naive_space as naive

POINTS, SIDE = 600, 64
SMALL = {"num_points": POINTS, "image_size": SIDE}


def small(name="exfractaldb-1k", **overrides):
    return load_recipe(name, **(SMALL | overrides))


def steps(count: int) -> list[float]:
    return [round(1 + k / 10, 1) for k in range(-count, count + 1) if k]


def test_table_of_25():
    expected = [("a", 0.9), ("a", 1.0), ("a", 1.1)]
    expected += [(letter, factor) for letter in "bcdefghijkl" for factor in (0.9, 1.1)]
    assert small().variant.weights().rows == tuple(expected)
    assert len(expected) == 25


def test_table_of_145():
    expected = [("a", v) for v in (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6)]
    expected += [(letter, factor) for letter in "bcdefghijkl" for factor in steps(6)]
    assert len(expected) == 145
    table = small(num_weights=145).variant.weights().rows
    assert list(table) == expected
    released = small(num_weights=145, weight_table="released").variant.weights().rows
    wrong = [k for k in range(145) if released[k] != expected[k]]
    assert [(expected[k], released[k]) for k in wrong] == [(("i", 1.6), ("i", 0.6))]
    identity = small(num_weights=145, first_weight="identity").variant.weights().rows
    assert list(identity) == [("a", 1.0), *[row for row in expected if row != ("a", 1.0)]]


@pytest.mark.parametrize("name", ["exfractaldb-1k", "mv-fractaldb-1k", "ofdb-3d-1k"])
def test_images_equal_the_twin(name):
    recipe = small(name)
    table = recipe.variant.weights().rows
    used = 1 if name == "ofdb-3d-1k" else len(table)
    last = recipe.num_instances - 1
    ties = compared = 0
    for c in (0, 3):
        found = Categories(recipe)[c]
        for i in sorted({0, min(7, last), min(26, last), last // 2, last}):
            drawn = render(recipe, c, i)
            letter, factor = table[i % used]
            maps = found.affine.tolist()
            for row in maps:
                row["abcdefghijkl".index(letter)] *= factor
            chances = naive.probabilities(found.affine.tolist())
            key = Key(recipe.seed, "trajectory", (c, i % used))
            points = naive.normalized(naive.model(maps, chances, key, POINTS))
            position = [drawn.parameters[f"camera_{axis}"] for axis in "xyz"]
            image, near = naive.picture(points, position, SIDE)
            ties += near
            compared += 1
            assert np.count_nonzero(image != drawn.image) <= 2 * near
            if name != "exfractaldb-1k":
                angle = math.degrees(math.atan2(position[2], -position[0])) % 360
                turn = (angle - 30 * (i // used) - 30 + 180) % 360 - 180
                assert abs(turn) <= 3.1416
                assert position[1] == 0
    assert ties <= compared / 2


@pytest.mark.slow
def test_categories_are_the_first_that_qualify():
    recipe = small(num_points=2000)
    for c in range(4):
        found = Categories(recipe)[c]
        for number in range(found.num_candidates):
            stream = Stream(Key(0, "candidate", (c, number)))
            num_maps = stream.integer(2, 7)
            maps = [[stream.uniform(-1, 1) for _ in range(12)] for _ in range(num_maps)]
            key = Key(0, "candidate sequence", (c, number))
            with np.errstate(all="ignore"):
                points = naive.model(maps, naive.probabilities(maps), key, 2000)
                spread = np.var(naive.normalized(points), axis=0)
            last = number == found.num_candidates - 1
            if last:
                assert np.array_equal(found.affine, maps)
                assert found.quality == pytest.approx(spread.min(), rel=1e-9)
                assert spread.min() > 0.05
            elif np.isfinite(points).all() and spread.min() > 0.05:
                weights = [recipe.variant.weights().apply(np.array(maps), w) for w in range(25)]
                keys = [Key(0, "trajectory", (c, w)) for w in range(25)]
                assert any(
                    not np.isfinite(
                        naive.model(w.tolist(), naive.probabilities(maps), k, 2000)
                    ).all()
                    for w, k in zip(weights, keys, strict=True)
                )


@pytest.mark.slow
def test_no_weight_of_a_category_diverges():
    recipe = small("mv-fractaldb-1k")
    found = Categories(recipe)[1]
    for weight in range(145):
        maps = recipe.variant.weights().apply(found.affine, weight).tolist()
        chances = naive.probabilities(found.affine.tolist())
        points = naive.model(maps, chances, Key(0, "trajectory", (1, weight)), POINTS)
        assert np.isfinite(points).all()


def test_ofdb_shows_the_categories_of_mv_fractaldb():
    ofdb, mv = small("ofdb-3d-1k"), small("mv-fractaldb-1k")
    assert np.array_equal(Categories(ofdb)[4].affine, Categories(mv)[4].affine)
    assert np.array_equal(render(ofdb, 4, 0).image, render(mv, 4, 0).image)


def test_sphere_is_uniform():
    directions = np.array([camera.on_sphere(Stream(Key(0, "v", (k,)))) for k in range(20_000)])
    assert np.allclose((directions**2).sum(axis=1), 1)
    assert np.all(np.abs(directions.mean(axis=0)) < 5 / np.sqrt(3 * 20_000))
    for axis in range(3):  # every coordinate of a uniform direction is U(-1, 1)
        counts, _ = np.histogram(directions[:, axis], bins=20, range=(-1, 1))
        assert np.all(np.abs(counts - 1000) < 5 * np.sqrt(1000))
    octants = np.bincount((directions > 0) @ [1, 2, 4], minlength=8)
    assert np.all(np.abs(octants - 2500) < 5 * np.sqrt(2500))


@pytest.mark.parametrize("direction", [(1, 0, 0), (0, 0, -1), (0.6, 0.64, -0.48), (-0.8, -0.6, 0)])
def test_camera_axes(direction):
    position, forward, right, up = camera.look_from(direction)
    assert np.allclose(position, 4 * np.array(direction))
    assert np.allclose(forward, -np.array(direction))
    assert np.allclose([right @ forward, up @ forward, right @ up, right[1]], 0)
    assert np.allclose([right @ right, up @ up], 1)
    assert np.allclose(np.cross(forward, right), -up)
    assert up[1] > 0


def test_projection_drops_what_the_camera_does_not_see():
    camera_43 = camera.look_from((0.0, 0.0, 1.0))  # at z = 4, looking down -z
    tangent = math.tan(math.radians(22.5))
    cases = {
        (0.0, 0.0, 0.0): (32, 32),
        (0.0, 0.0, 3.1): None,  # nearer than 1
        (0.0, 0.0, -96.1): None,  # farther than 100
        (0.0, 0.0, -95.9): (32, 32),
        (4 * tangent * 0.999, 0.0, 0.0): (32, 63),
        (4 * tangent * 1.001, 0.0, 0.0): None,
        (0.0, -4 * tangent * 0.999, 0.0): (0, 32),
        (0.0, 4 * tangent * 1.001, 0.0): None,
    }
    for point, expected in cases.items():
        image = np.zeros((64, 64), np.uint8)
        space.project(np.array(point)[:, None], camera_43, image)
        lit = [tuple(place) for place in np.argwhere(image).tolist()]
        assert lit == ([] if expected is None else [expected]), point


def test_probabilities_are_determinants():
    draws = [[Stream(Key(1, "m", (j, k))).uniform(-1, 1) for k in range(12)] for j in range(4)]
    maps = np.array(draws)
    sizes = [abs(np.linalg.det(row[:9].reshape(3, 3))) for row in maps]
    assert np.allclose(ifs.cumulative_probabilities(maps), np.cumsum(sizes) / sum(sizes))


def test_views_are_limited_on_the_ring_and_endless_on_the_sphere():
    assert small(num_instances=10**6).num_instances == 10**6
    with pytest.raises(UsageError, match="a category of exfractaldb has 1740"):
        small("mv-fractaldb-1k", num_instances=1741)
    with pytest.raises(UsageError, match="weights_used: must be at most num_weights"):
        small(weights_used=26)
    with pytest.raises(UsageError, match="views_per_sample: must divide the 1000 instances"):
        small(views_per_sample=7)


def test_ofdb_manifest_tells_to_pick_one_of_twelve(tmp_path):
    generate(small("ofdb-3d-1k", num_categories=5), tmp_path / "set", workers=1)
    manifest = open_dataset(tmp_path / "set").manifest
    assert manifest.views_per_sample == 12
    assert manifest.splits["train"].num_samples == 60
