"""Pictures of planar fractals equal the slow twin, pixel for pixel."""

import math

import numpy as np
import pytest

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.keys import Key, Stream
from fdsl_gen.geometry import ifs
from fdsl_gen.recipe.jobs import render
from fdsl_gen.recipe.recipe import load_recipe
from fdsl_gen.variants import _planar
from tests.fdsl_gen.variants import naive

SIDE, POINTS = 96, 1500
SHARED = np.random.RandomState(100).random_sample(POINTS)


def random_systems(count: int) -> list[np.ndarray]:
    """Contractive systems, reflections among them, and systems with entries of U(-1, 1) x 1.5."""
    systems = []
    for k in range(count):
        stream = Stream(Key(7, "test system", (k,)))
        num_maps = stream.integer(2, 5)
        if k % 3:
            systems.append(
                ifs.sample_contractive(stream, num_maps, stream.uniform(1, 2 * num_maps))
            )
        else:
            entries = [stream.uniform(-1.5, 1.5) for _ in range(6 * num_maps)]
            systems.append(np.array(entries).reshape(num_maps, 6))
    return systems


def explosive(factor: float) -> np.ndarray:
    """Grows without end: infinite, then NaN."""
    return np.array([[factor, 1.0, -1.0, factor, 0.5, 0.2], [-factor, 0.3, 0.2, 1.1, 0.1, -0.4]])


CASES = {
    "random": random_systems(42),
    "zero extent in y": [
        np.array([[0.5, 0.1, 0.0, 0.4, 0.3, 0.0], [0.3, 0.2, 0.0, 0.7, -0.2, 0.0]])
    ],
    "zero extent in x": [
        np.array([[0.5, 0.0, 0.1, 0.4, 0.0, 0.3], [0.3, 0.0, 0.3, 0.7, 0.0, 0.2]])
    ],
    "zero extent in both": [np.array([[0.5, 0.1, 0.2, 0.4, 0.0, 0.0]] * 2)],
    "divergence to NaN": [explosive(f) for f in (1.5, 2.0, 3.0, 7.0, 50.0)],
    "divergence before 100 points": [explosive(f) for f in (1e4, 1e9)],
    "huge, never NaN": [
        np.array([[1.3, 0.1, -0.1, 1.2, 0.5, 0.5], [-1.2, 0.3, 0.2, 1.1, 0.1, 0.2]])
    ],
    "infinite extent": [np.array([[2.0, 0.1, 0.1, 1.5, 1.0, 1.0], [1.5, 0.2, 0.3, 1.7, 0.5, 0.5]])],
}
SYSTEMS = [(name, k) for name, systems in CASES.items() for k in range(len(systems))]


def drawn(system: np.ndarray, mode: str, key: Key) -> np.ndarray:
    cumulative = ifs.cumulative_probabilities(system)
    maps_T = _planar.shared_sequence(POINTS, cumulative)
    with np.errstate(all="ignore"):
        canvas = _planar.draw(system[None], maps_T, SIDE, mode, key.words[None])
    return _planar.to_image(canvas[0], SIDE)


@pytest.mark.parametrize("mode", ["fill", "point", "patch"])
@pytest.mark.parametrize(("name", "k"), SYSTEMS)
def test_picture_equals_twin(name, k, mode):
    system = CASES[name][k]
    key = Key(3, "test masks", (k,))
    masks = [naive.patch_mask(key, t) for t in range(POINTS)] if mode == "patch" else None
    probabilities = naive.determinant_probabilities(system.tolist())
    expected = naive.draw_fractal(system.tolist(), probabilities, SHARED, SIDE, mode, masks)
    assert np.array_equal(drawn(system, mode, key), expected)


def test_cases_are_what_their_names_say():
    def points(name, k=0):
        maps = CASES[name][k].tolist()
        return naive.trajectory(maps, naive.determinant_probabilities(maps), SHARED)

    assert len(SYSTEMS) >= 50
    for name in ("divergence to NaN", "divergence before 100 points"):
        for k in range(len(CASES[name])):
            assert any(math.isnan(x) for x, _ in points(name, k))
    assert naive.without_divergence(points("divergence before 100 points")) == []
    assert naive.without_divergence(points("divergence to NaN")) != []
    assert max(abs(x) for x, _ in points("huge, never NaN")) > 1e50
    kept = naive.without_divergence(points("infinite extent"))
    assert math.isinf(max(x for x, _ in kept) - min(x for x, _ in kept))
    reflections = [np.linalg.det(s[0, :4].reshape(2, 2)) < 0 for s in CASES["random"]]
    assert 5 < sum(reflections) < 37


@pytest.mark.parametrize("mode", ["fill", "point", "patch"])
@pytest.mark.parametrize("count", [2, 7, 31, 32, 45])
def test_systems_drawn_together_equal_the_twin(count, mode):
    """Few and many systems take different loops; diverging and degenerate ones are among them."""
    systems = [s for group in CASES.values() for s in group if len(s) == 2]
    chosen = [systems[(3 * k) % len(systems)] for k in range(count)]
    cumulative = ifs.cumulative_probabilities(chosen[0])
    maps_T = _planar.shared_sequence(POINTS, cumulative)
    keys = [Key(1, "lane", (k,)) for k in range(count)]
    words = np.stack([key.words for key in keys])
    with np.errstate(all="ignore"):
        together = _planar.draw(np.stack(chosen), maps_T, SIDE, mode, words)
    probabilities = naive.determinant_probabilities(chosen[0].tolist())
    for k in range(0, count, 5):
        masks = [naive.patch_mask(keys[k], t) for t in range(POINTS)] if mode == "patch" else None
        maps = chosen[k].tolist()
        expected = naive.draw_fractal(maps, probabilities, SHARED, SIDE, mode, masks)
        assert np.array_equal(_planar.to_image(together[k], SIDE), expected)


@pytest.mark.parametrize("mode", ["fill", "point", "patch"])
@pytest.mark.parametrize("perturbation", ["multiplicative", "additive"])
@pytest.mark.parametrize("sequence", ["shared", "per_instance"])
def test_fractal_1_from_its_stored_parameters(mode, perturbation, sequence):
    """The image follows from base, perturbation and keys by the twin alone."""
    recipe = load_recipe(
        "fractal-1",
        image_size=SIDE,
        num_points=POINTS,
        draw=mode,
        perturbation=perturbation,
        map_sequence=sequence,
        filling_rate=0.02,
    )
    base = recipe.variant.category(0, Key(recipe.seed, "category", (0,))).base.affine_N6.tolist()
    for c in (0, 1, 17):
        found = render(recipe, c)
        attempt = found.parameters["attempts"] - 1
        draws = iter(range(10**6))
        key = Key(recipe.seed, "try", (c, attempt))
        maps = []
        for row in base:
            uniform = [(naive.word(key, next(draws)) >> 11) * 2.0**-53 for _ in row]
            if perturbation == "multiplicative":
                maps.append(
                    [v * (0.9 + (1.1 - 0.9) * u) for v, u in zip(row, uniform, strict=True)]
                )
            else:
                maps.append([v + (-0.05 + 0.1 * u) for v, u in zip(row, uniform, strict=True)])
        stored = [[found.parameters[f"map{j}_{n}"] for n in "abcdef"] for j in range(2)]
        assert np.array_equal(stored, maps)
        mask_key = Key(recipe.seed, "try patch", (c, attempt))
        masks = [naive.patch_mask(mask_key, t) for t in range(POINTS)]
        uniforms = SHARED
        if sequence == "per_instance":
            own = Key(recipe.seed, "try sequence", (c, attempt))
            uniforms = [(naive.word(own, t) >> 11) * 2.0**-53 for t in range(POINTS)]
        probabilities = naive.determinant_probabilities(base)
        expected = naive.draw_fractal(maps, probabilities, uniforms, SIDE, mode, masks)
        assert np.array_equal(found.image, expected)
        assert found.parameters["filling_rate"] == np.count_nonzero(expected) / SIDE**2 > 0.02


def test_every_mask_is_equally_likely():
    """Masks read back from the picture: far apart points show each its whole mask."""
    counts = np.zeros(512, int)
    words = np.uint64(_planar.raster.canvas_words(64))
    total = 0
    for k in range(220):
        places = [row * 128 + column for row in range(0, 60, 3) for column in range(0, 60, 3)]
        pixel_TL = np.array(places, np.int32)[:, None]
        canvas = np.zeros((1, 64 * int(words)), np.uint64)
        key = Key(0, "mask law", (k,)).words[None]
        kept = np.array([len(places)])
        _planar.raster.stamp_patches(pixel_TL, kept, 0, key, words, canvas)
        image = _planar.to_image(canvas[0], 64)[::-1] // 127
        for pixel in places:
            row, column = pixel // 128 + 1, pixel % 128 + 1
            bits = image[row : row + 3, column : column + 3].ravel()
            counts[int("".join(map(str, bits)), 2)] += 1
            total += 1
    assert counts[0] == 0
    expected = total / 511
    chi_square = float(((counts[1:] - expected) ** 2 / expected).sum())
    # 510 degrees of freedom: mean 510, deviation 32
    assert abs(chi_square - 510) < 5 * 32


def test_empty_masks_are_replaced():
    """Some masks come out empty; the twin replaces them, and the kernel equals the twin above."""
    key = Key(5, "spare")
    empty = [
        t for t in range(200_000 // 50) if (naive.word(key, t // 7) >> (9 * (t % 7))) & 511 == 0
    ]
    assert empty
    assert all(naive.patch_mask(key, t) > 0 for t in empty)


def test_later_patches_erase():
    words = np.uint64(_planar.raster.canvas_words(16))
    key = Key(11, "erase")
    canvas = np.zeros((1, 16 * int(words)), np.uint64)
    pixel_TL = np.full((7, 1), 4 * 128 + 5, np.int32)
    _planar.raster.stamp_patches(pixel_TL, np.array([7]), 0, key.words[None], words, canvas)
    image = _planar.to_image(canvas[0], 16)[::-1]
    last = [int(bit) for bit in f"{naive.patch_mask(key, 6):09b}"]
    assert (image[5:8, 6:9].ravel() // 127).tolist() == last
    assert np.count_nonzero(image) == sum(last)


def test_sigma_factor_is_met():
    for k in range(6000):
        stream = Stream(Key(2, "sigma", (k,)))
        num_maps = stream.integer(1, 8)
        low, high = ifs.sigma_range(0.0, 3.0 * num_maps, num_maps)
        sigma = stream.uniform(low, high)
        pairs = ifs.singular_values(stream, num_maps, sigma)
        assert len(pairs) == num_maps
        assert sum(s1 + 2 * s2 for s1, s2 in pairs) == pytest.approx(sigma, abs=1e-9)
        assert all(1 > s1 >= s2 - 1e-12 and s2 >= 0 for s1, s2 in pairs)


def test_matrices_have_the_singular_values_and_both_orientations():
    signs, translations = [], []
    for k in range(400):
        affine = ifs.sample_contractive(Stream(Key(2, "svd", (k,))), 3, 5.5)
        again = Stream(Key(2, "svd", (k,)))
        pairs = ifs.singular_values(again, 3, 5.5)
        for row, (s1, s2) in zip(affine, pairs, strict=True):
            values = np.linalg.svd(row[:4].reshape(2, 2), compute_uv=False)
            assert values == pytest.approx([s1, s2], abs=1e-12)
            translations.append(row[4:])
            signs.append(np.linalg.det(row[:4].reshape(2, 2)) > 0)
    assert 0.42 < np.mean(signs) < 0.58
    shares = np.histogram(translations, bins=8, range=(-1, 1))[0] / 2400  # of U(-1, 1)
    assert shares.sum() == 1
    assert np.all(np.abs(shares - 1 / 8) < 0.03)


@pytest.mark.parametrize("sigma", [6.2, 100.0, -1.0])
def test_impossible_sigma_is_one_sentence(sigma):
    with pytest.raises(UsageError, match="sigma-factor between 0 and 6"):
        load_recipe("fractal-1", sigma_factor=sigma)


def test_a_base_that_is_given_is_used_and_drawn_alike():
    recipe = load_recipe("fractal-1", image_size=64, num_points=2000)
    base = recipe.variant.category(0, Key(recipe.seed, "category", (0,))).base.affine_N6.tolist()
    given = load_recipe("fractal-1", image_size=64, num_points=2000, base=base)
    assert given.identity != recipe.identity
    assert np.array_equal(render(given, 5).image, render(recipe, 5).image)


def test_translations_are_uniform_on_both_sides_of_the_origin():
    factors = [ifs.sample_factors(Stream(Key(3, "law", (k,))), 3, 5.5) for k in range(500)]
    values = np.concatenate([f.translation_N2.ravel() for f in factors])
    counts, _ = np.histogram(values, bins=8, range=(-1, 1))
    assert counts.sum() == len(values) == 3000
    assert counts.min() > 300
    assert counts.max() < 450
    assert abs(values.mean()) < 0.05
