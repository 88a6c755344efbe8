"""Images of fractal-color equal the slow twin, pixel for pixel."""

import numpy as np
import pytest

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.keys import Key
from fdsl_gen.recipe.jobs import jobs_of, render
from fdsl_gen.recipe.recipe import load_recipe
from tests.fdsl_gen.variants import naive_colored as naive

TINY = {"image_size": 24, "num_points": 400}
CHANGES = [
    {},
    {"jitter": "entry", "jitter_level": 2},
    {"jitter": "svd"},
    {"jitter": "sval"},
    {"jitter": "none"},
    {"hue": "full_circle"},
    {"color": False},
    {"background": False},
    {"flip_probability": 1.0, "blur_probability": 1.0},
    {"flip_probability": 0.0, "blur_probability": 0.0},
    {"num_maps_min": 7, "num_maps_max": 7},
    {"image_size": 33, "num_points": 1},
    {"seed": 5, "num_points": 2000, "window_scale_max": 0.6},
]


def twin(recipe, c, i):
    keys = Key(recipe.seed, "category", (c,)), Key(recipe.seed, "instance", (c, i))
    return naive.fractal_color(recipe.variant, *keys)


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_image_equals_twin(change):
    recipe = load_recipe("fractal-color", **(TINY | change))
    for c, i in ((0, 0), (0, 1), (1, 0), (12, 999), (999, 3)):
        picture, maps = twin(recipe, c, i)
        found = render(recipe, c, i)
        assert np.array_equal(found.image, np.array(picture))
        assert found.parameters["num_maps"] == len(maps)


def test_gray_images_have_one_channel():
    recipe = load_recipe("fractal-color", color=False, background=False, encoding="gray8", **TINY)
    for i in range(6):
        picture, _ = twin(recipe, 3, i)
        found = render(recipe, 3, i).image
        assert found.shape == (24, 24)
        assert np.array_equal(found, np.array(picture)[:, :, 0])


def test_sharp_gray_images_have_two_levels():
    change = {"color": False, "background": False, "blur_probability": 0.0, "encoding": "compact"}
    recipe = load_recipe("fractal-color", **TINY, **change)
    assert recipe.variant.image.levels == (0, 127)
    assert set(np.unique(render(recipe, 0, 0).image)) == {0, 127}


def test_category_equals_twin():
    recipe = load_recipe("fractal-color", num_maps_max=7)
    counts = set()
    for c in range(60):
        key = Key(3, "category", (c,))
        found = recipe.variant.category(c, key)
        _, maps, sigma = naive.category(recipe.variant, key)
        assert np.array_equal(found.affine_N6, maps)
        assert found.sigma == sigma
        counts.add(len(maps))
        assert (5 + len(maps)) / 2 <= sigma <= (6 + len(maps)) / 2
    assert counts == set(range(2, 8))


def test_both_kinds_have_the_same_categories():
    one, two = load_recipe("fractal-color").variant, load_recipe("multi-fractal").variant
    for c in (0, 7, 999):
        key = Key(0, "category", (c,))
        assert np.array_equal(one.category(c, key).affine_N6, two.category(c, key).affine_N6)


def test_switches_change_nothing_else():
    """Without background or color, hits stand where they stand with both."""
    sharp = TINY | {"blur_probability": 0.0}
    full = load_recipe("fractal-color", **sharp)
    alone = load_recipe("fractal-color", background=False, **sharp)
    gray = load_recipe("fractal-color", background=False, color=False, encoding="gray8", **sharp)
    for i in range(5):
        lit = render(alone, 2, i).image.any(axis=2)
        assert 0 < lit.sum() < lit.size
        assert np.array_equal(render(full, 2, i).image[lit], render(alone, 2, i).image[lit])
        assert np.array_equal(render(gray, 2, i).image > 0, lit)


def test_parameters_have_the_same_names():
    recipe = load_recipe("fractal-color", **TINY)
    named = [tuple(render(recipe, c, 0).parameters) for c in range(6)]
    assert len(set(named)) == 1


def drawn(**change):
    """Parameters of 1,500 images, drawn with a single point so that it is quick."""
    recipe = load_recipe("fractal-color", image_size=16, num_points=1, background=False, **change)
    samples = [(c, i) for c in range(30) for i in range(50)]
    return [one.parameters for one in recipe.variant.render(jobs_of(recipe, samples))]


def test_laws_of_an_instance():
    found = drawn()
    share = {
        name: np.mean([one[name] for one in found])
        for name in ("transposed", "rows_flipped", "columns_flipped")
    }
    assert all(0.44 < value < 0.56 for value in share.values()), share
    blurs = [one["blur_sigma"] for one in found]
    assert 0.44 < np.mean([b > 0 for b in blurs]) < 0.56
    assert 0.5 <= min(b for b in blurs if b) < 0.51 and 0.99 < max(blurs) <= 1.0
    for name, low, high in (
        ("hue_shift", 0, 255),
        ("saturation", 255 * 0.3, 255),
        ("value", 127.5, 255),
    ):
        values = [one[name] for one in found]
        assert low - 1 <= min(values) < low + 3 and high - 3 < max(values) <= high
        assert np.mean(values) == pytest.approx((low + high) / 2, abs=(high - low) * 0.05)
    patches = [int(one["patch"], 2) for one in found]
    assert min(patches) >= 1 and max(patches) <= 511
    assert len(set(patches)) > 470  # of 511; 1,500 draws leave out about 27
    assert {one["jitter_attempts"] for one in found} <= {0, 1, 2, 3, 4}


def test_windows_follow_their_law():
    recipe = load_recipe("fractal-color", image_size=16, num_points=300, background=False)
    tight = load_recipe(
        "fractal-color",
        image_size=16,
        num_points=300,
        background=False,
        window_shift=0.0,
        window_scale_min=1.0,
        window_scale_max=1.0,
    )
    samples = [(c, i) for c in range(20) for i in range(40)]
    sizes, moves = [], []
    pairs = zip(
        recipe.variant.render(jobs_of(recipe, samples)),
        tight.variant.render(jobs_of(tight, samples)),
        strict=True,
    )
    for seen, whole in pairs:
        for axis in "xy":
            low, high = (seen.parameters[f"{end}_{axis}"] for end in ("low", "high"))
            least, most = (whole.parameters[f"{end}_{axis}"] for end in ("low", "high"))
            sizes.append((high - low) / (most - least))
            moves.append(((high + low) - (most + least)) / 2 / (most - least))
    assert 0.5 - 1e-9 <= min(sizes) < 0.51 and 1.99 < max(sizes) <= 2.0 + 1e-9
    assert np.mean(sizes) == pytest.approx(1.25, abs=0.05)
    assert -0.2 - 1e-9 <= min(moves) < -0.198 and 0.198 < max(moves) <= 0.2 + 1e-9
    assert np.mean(moves) == pytest.approx(0.0, abs=0.015)
    assert abs(np.corrcoef(sizes[::2], sizes[1::2])[0, 1]) < 0.12  # axes are independent
    assert abs(np.corrcoef(moves[::2], moves[1::2])[0, 1]) < 0.12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sigma_offset_min": 10.0, "sigma_offset_max": 11.0}, "sigma_offset_min: must be less"),
        ({"num_maps_min": 5}, "num_maps_min: must be at most num_maps_max"),
        ({"cloud_decay_min": 0.9}, "cloud_decay_min: must be at most"),
        ({"blur_sigma_min": 0.0}, "blur_sigma_min: must be greater than 0"),
        ({"jitter": "all"}, "jitter: must be one of scale, entry, svd, sval, none"),
        ({"encoding": "gray8"}, "colored images need rgb8"),
    ],
)
def test_impossible_settings_are_one_sentence(change, message):
    with pytest.raises(UsageError, match=message):
        load_recipe("fractal-color", **change)
