"""Mandelbulb variations: equal to a slow twin, close to released images."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fdsl_gen import load_recipe, render
from fdsl_gen.core.errors import FdslError
from fdsl_gen.core.keys import Key, Stream
from fdsl_gen.geometry import power_map
from fdsl_gen.kernels.elementary import log, log_of_normal
from fdsl_gen.kernels.lanczos import fill_weights, shrink
from fdsl_gen.variants import mandelbulb
from tests import ROOT
from tests.fdsl_gen.variants import naive_mandelbulb as naive

REFERENCE = ROOT.parent / "shared" / "reference"
BLOCKS = json.loads(Path(__file__).with_name("released_blocks.json").read_text())
FULL = 6.283185307179586


def category(recipe, *maps):
    return mandelbulb._classes(recipe.variant.classes).index(maps)


def angles_and_colors(recipe, c, i):
    stream = Stream(Key(recipe.seed, "instance", (c, i)))
    widest = 30 if recipe.variant.classes == "hybrid-21k" else 90
    angles = -widest + 2.0 * widest * stream.uniform(), 360 * stream.uniform()
    return angles, [[stream.uniform() for _ in range(3)] for _ in range(3)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "maps", "settings"),
    [
        ("mandelbulb-1k", (10, 42), {}),
        ("mandelbulb-1k", (3, 107), {"iterations": 7}),
        ("mandelbulb-1k", (18, 434), {"ray_steps": 9, "light_steps": 3}),
        ("mandelbulb-1k", (2, 297), {"supersampling": 1, "iterations": 20}),
        ("mandelbulb-hybrid-21k", (10, 132, 9, 32), {"iterations": 30}),
        ("mandelbulb-hybrid-21k", (10, 132, 9, 32), {"iterations": 1, "supersampling": 1}),
        ("mandelbulb-hybrid-21k", (2, 42), {"iterations": 12}),
    ],
)
def test_images_equal_the_twin(name, maps, settings):
    recipe = load_recipe(name, image_size=16, **settings)
    v = recipe.variant
    c = category(recipe, *maps)
    pairs = list(zip(maps[::2], maps[1::2], strict=True))
    pairs *= 2 if "hybrid" in name and len(pairs) == 1 else 1
    drawn = render(recipe, c, 4)
    expected = naive.picture(
        pairs,
        *angles_and_colors(recipe, c, 4),
        16,
        v.supersampling,
        v.iterations,
        v.ray_steps,
        v.light_steps,
    )
    assert np.array_equal(drawn.image, expected)
    assert len(np.unique(expected)) > 20


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mandelbulb-1k", "mandelbulb-hybrid-21k"])
def test_released_images_equal_the_twin(name):
    maps = [(5, 190, True)] if name == "mandelbulb-1k" else [(10, 132, True), (9, 32, True)]
    recipe = load_recipe(name, draws="released", image_size=16, iterations=25)
    drawn = render(recipe, category(recipe, *(n for m in maps for n in m[:2])), 3)
    facts = drawn.parameters
    angles = [mandelbulb._gpu_angle(facts[angle]) for angle in ("latitude", "longitude")]
    colors = [[facts[f"color_{k}_{c}"] for c in "rgb"] for k in range(3)]
    expected = naive.picture(maps, angles, colors, 16, 2, 25, 1000, 10_000)
    assert np.array_equal(drawn.image, expected)


def test_theta_of_released_images_is_an_arccosine_of_four_terms():
    for k in range(200):
        stream = Stream(Key(5, "bent", (k,)))
        z = [stream.uniform(-1.3, 1.3) for _ in range(3)]
        r = float(np.linalg.norm(z))
        x = abs(z[2]) / r
        theta = np.sqrt(1 - x) * (1.5707288 - 0.2121144 * x + 0.0742610 * x**2 - 0.0187293 * x**3)
        theta = theta if z[2] >= 0 else np.pi - theta
        turned = naive.bent(z, r)
        assert np.arctan2(np.hypot(*turned[:2]), turned[2]) == pytest.approx(theta, abs=3e-8)
        assert np.linalg.norm(turned) == pytest.approx(r)
        assert np.arctan2(turned[1], turned[0]) == pytest.approx(np.arctan2(z[1], z[0]))


def test_rays_out_of_the_ball_are_lost():
    """What need not be followed meets nothing, however little that is tried."""
    for power, rule in ((2, 42), (7, 334), (18, 434), (100, 42)):
        reach, detour = power_map.ball(power, rule)
        assert 1 < reach <= 16
        for k in range(100):
            stream = Stream(Key(6, "ball", (power, k)))
            v = np.array([stream.uniform(-1, 1) for _ in range(3)])
            p = v / np.linalg.norm(v) * np.sqrt(reach) * stream.uniform(1, 4 / np.sqrt(reach))
            found, _ = naive.distance(p.tolist(), [(power, rule)], 100)
            assert found >= 8 / (detour - 20) > 0.001
    assert power_map.ball(4, 0) == (np.inf, np.inf)  # cos n phi three times: power 0 in places
    assert mandelbulb._classes("1k")[0][0] == 2
    for rule in {maps[1] for maps in mandelbulb._classes("hybrid-21k")}:
        assert power_map.ball(9, rule)[0] < 2


def test_powers_beyond_the_published_ones(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("category,map,power,rule\n0,0,21,42\n")
    recipe = load_recipe(
        "mandelbulb-1k", categories_from=str(table), num_categories=1, image_size=16, iterations=9
    )
    angles, colors = angles_and_colors(recipe, 0, 0)
    expected = naive.picture([(21, 42)], angles, colors, 16, 2, 9, 1000, 10_000)
    assert np.array_equal(render(recipe, 0, 0).image, expected)


def test_a_rule_is_sines_and_cosines_of_polar_angles():
    """The powers mean what the paper says, but for rounding."""
    for k in range(200):
        stream = Stream(Key(1, "rule", (k,)))
        z = [stream.uniform(-1.3, 1.3) for _ in range(3)]
        n, rule = stream.integer(2, 18), stream.integer(0, 511)
        r = np.linalg.norm(z)
        phi, theta = np.arctan2(z[1], z[0]), np.arccos(z[2] / r)
        row = power_map.row(n, rule)
        found, r_n = naive.powered(z, n, rule)
        assert r_n == pytest.approx(r**n, rel=1e-12)
        values = [np.cos(n * phi), np.sin(n * phi), np.cos(n * theta), np.sin(n * theta)]
        chosen = list(zip(row[1:4], row[4:7], strict=True))
        expected = [sign * r**n * values[source] for source, sign in chosen]
        assert found == pytest.approx(expected, abs=1e-11 * max(1, r**n))
        bits = f"{rule:09b}"
        for axis in range(3):
            sine, polar, minus = bits[3 * axis : 3 * axis + 3]
            assert row[1 + axis] == int(sine) + 2 * int(polar)
            assert row[4 + axis] == (-1 if minus == "1" else 1)


def test_logarithms_of_many_are_those_of_one():
    x = np.array([Stream(Key(2, "x", (k,))).uniform(1e-3, 40) for k in range(600)])
    x = np.concatenate([x, 2.0 ** np.arange(-1000, 1000, 7), [0.7071067811865475, 1.0, 1e11]])
    x = np.concatenate([x, [0.7071067811865476, 1 + 2**-52, 1 - 2**-53]])
    found = [log_of_normal(float(value)) for value in x]
    assert found == [log(float(value)) for value in x]


@pytest.mark.parametrize(("size", "out"), [(64, 32), (40, 40), (96, 32), (70, 33), (17, 16)])
def test_lanczos_equals_pillow(size, out):
    words = np.array([Stream(Key(3, "row", (k,))).integer(0, 255) for k in range(size)])
    picture = np.add.outer(np.add.outer(words * 7, words * 3), [0, 90, 200]).astype(np.uint8)
    picture[size // 2 :, : size // 3] = (0, 255, 0)  # edges, where weights overshoot
    first = np.empty(out, np.int64)
    weights = np.empty((out, 2 * -(-3 * size // out) + 1), np.int64)
    fill_weights(size, first, weights)
    found = np.empty((out, out, 3), np.uint8)
    shrink(picture, first, weights, found)
    expected = Image.fromarray(picture).resize((out, out), Image.Resampling.LANCZOS)
    assert np.array_equal(found, np.array(expected))


def test_released_draws_are_those_of_numpy():
    from numpy.random import PCG64, Generator

    recipe = load_recipe("mandelbulb-1k", draws="released", image_size=16, supersampling=1)
    stream = Generator(PCG64(42)).random(11 * 1002)
    for c, i in ((0, 0), (0, 7), (1, 1)):
        draws = stream[11 * (1000 * c + i) :][:11]
        facts = render(recipe, c, i).parameters
        assert facts["latitude"] == -90 + 180 * draws[0]
        assert facts["longitude"] == 360 * draws[1]
        assert facts["color_2_b"] == draws[10]
    assert recipe.variant.max_instances == 1000
    assert (recipe.variant.revision, load_recipe("mandelbulb-1k").variant.revision) == (2, 1)
    assert load_recipe("mandelbulb-hybrid-21k", draws="released").variant.max_instances == 50


def test_angles_of_the_released_images_are_rounded_toward_zero():
    for k in range(100):
        angle = Stream(Key(4, "angle", (k,))).uniform(-90, 360)
        rounded = mandelbulb._gpu_angle(angle)
        assert abs(rounded - angle) < 1e-4
        turns = np.float32(rounded / FULL)  # a number of single precision, up to the division
        assert float(turns) == pytest.approx(rounded / FULL, rel=1e-14)
        exact = float(np.float32(angle)) * float(np.float32(1 / FULL))
        assert 0 <= (exact - float(turns)) * np.sign(angle) < np.spacing(abs(turns))


def test_lists_of_categories():
    single, hybrid = mandelbulb._classes("1k"), mandelbulb._classes("hybrid-21k")
    assert (len(single), len(hybrid)) == (1037, 21365)
    assert len(set(single)) == 1037 and len(set(hybrid)) == 21365
    assert set(single) == {maps for maps in hybrid if len(maps) == 2}
    assert single[61 * 8 + 20] == (10, 42)
    with pytest.raises(FdslError, match="has 1037 categories, no number 1037"):
        render(load_recipe("mandelbulb-1k", image_size=16), 1037)


def of_released(stem):
    """Recipe, category and instance of a released image."""
    _, kind, *maps, instance = stem.split("_")
    name = "mandelbulb-1k" if kind == "1k" else "mandelbulb-hybrid-21k"
    numbers = [int(n) for part in maps for n in part.removeprefix("power").split("-rule")]
    recipe = load_recipe(name, draws="released")
    return name, category(recipe, *numbers), int(instance)


@pytest.mark.parametrize("stem", BLOCKS)
def test_mean_colors_of_released_images(stem):
    """Of 16 x 16 parts of each of four released images; ours drawn at a quarter of the size."""
    name, c, i = of_released(stem)
    image = render(load_recipe(name, draws="released", image_size=128), c, i).image
    means = image.reshape(16, 8, 16, 8, 3).mean((1, 3))
    assert np.abs(means - np.array(BLOCKS[stem])).mean() < 1.3


# The outline of the last one is dust: a camera turned by 1e-10 changes 0.5 % of its pixels.
MOST = {
    "mandelbulb_1k_power10-rule42_0": (0.25, 0.99, 0.001),
    "mandelbulb_1k_power12-rule243_3": (0.2, 0.99, 0.001),
    "mandelbulb_Hybrid-21k_power10-rule132_power9-rule32_0": (0.8, 0.96, 0.001),
    "mandelbulb_Hybrid-21k_power2-rule42_0": (2.0, 0.935, 0.012),
}


@pytest.mark.slow
@pytest.mark.parametrize("stem", [s for s in MOST if (REFERENCE / f"{s}.png").exists()])
def test_released_images(stem):
    name, c, i = of_released(stem)
    found = render(load_recipe(name, draws="released"), c, i).image.astype(int)
    released = np.array(Image.open(REFERENCE / f"{stem}.png").convert("RGB")).astype(int)
    off = np.abs(found - released)
    mean, near, outline = MOST[stem]
    assert off.mean() <= mean
    assert (off.max(axis=2) <= 8).mean() >= near
    assert ((found.min(axis=2) == 255) != (released.min(axis=2) == 255)).mean() <= outline
