"""Changes of systems: equal to the twin, contractive, and of the laws they should have."""

import numpy as np
import pytest

from fdsl_gen.core.keys import Key, Stream
from fdsl_gen.geometry import ifs
from fdsl_gen.geometry.jitter import fixed_point, jittered, singular_value
from fdsl_gen.recipe.recipe import load_recipe
from tests.fdsl_gen.variants import naive_colored as naive

KINDS = ["scale", "entry", "svd", "sval", "none"]


def both(settings, k):
    """A category, its change by the package, and the change by the twin."""
    system = settings.category(k, Key(0, "category", (k,)))
    key = Key(0, "jitter", (k,))
    how = settings.jitter_of(len(system.affine_N6))
    found = jittered(how, Stream(key), system.factors, system.affine_N6)
    factors, maps, _ = naive.category(settings, system.key)
    return system, found, naive.jitter(settings, naive.Draws(key), factors, maps)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", [{}, {"jitter_level": 5, "jitter_scale_max": 2.0}], ids=str)
def test_change_equals_twin(kind, change):
    settings = load_recipe("fractal-color", jitter=kind, **change).variant
    tries = []
    for k in range(120):
        _, (affine_N6, attempts), expected = both(settings, k)
        assert (affine_N6.tolist(), attempts) == expected
        assert singular_value(affine_N6) <= 1.0
        tries.append(attempts)
    assert set(tries) <= ({0} if kind == "none" else {0, 1, 2, 3, 4})
    if kind in ("scale", "entry") and change:
        assert {0, 1, 2} <= set(tries), "nothing was ever refused"


def test_a_system_that_no_change_leaves_contractive_stays_as_it_is():
    settings = load_recipe("fractal-color", jitter_scale_min=50.0, jitter_scale_max=60.0).variant
    for k in range(20):
        system, (affine_N6, attempts), _ = both(settings, k)
        assert attempts == 0
        assert np.array_equal(affine_N6, system.affine_N6)


def test_the_category_itself_is_never_changed():
    for kind in KINDS:
        settings = load_recipe("fractal-color", jitter=kind).variant
        system, _, _ = both(settings, 3)
        again = settings.category(3, system.key)
        assert np.array_equal(system.affine_N6, again.affine_N6)
        for one, two in zip(system.factors, again.factors, strict=True):
            assert np.array_equal(one, two)


def changes(kind):
    """(system, changed system) where the first attempt was accepted."""
    settings = load_recipe("fractal-color", jitter=kind).variant
    for k in range(900):
        system, (affine_N6, attempts), _ = both(settings, k)
        if attempts == 1:
            yield system, affine_N6


def test_scale_law():
    factors, maps = [], []
    for system, affine_N6 in changes("scale"):
        ratio = affine_N6 / system.affine_N6
        (j,) = np.flatnonzero(np.abs(ratio - 1).max(axis=1) > 1e-12)
        assert ratio[j] == pytest.approx(ratio[j, 0])
        factors.append(ratio[j, 0])
        if len(ratio) == 3:
            maps.append(j)
    assert 0.8 <= min(factors) < 0.803
    assert 1.06 < max(factors) <= 1.1
    small = [f for f in factors if f < 1]  # these are never refused
    assert np.mean(small) == pytest.approx(0.9, abs=0.01)
    assert np.bincount(maps, minlength=3).min() > 0.27 * len(maps)


def test_entry_law():
    factors, places = [], []
    for system, affine_N6 in changes("entry"):
        ratio = affine_N6 / system.affine_N6
        rows, columns = np.nonzero(np.abs(ratio - 1) > 1e-12)
        if len(rows) == 0:
            factors.append(1.0)
            continue
        assert rows.tolist() == list(range(len(ratio)))  # one entry of every map
        assert ratio[rows, columns] == pytest.approx(ratio[rows[0], columns[0]])
        factors.append(ratio[rows[0], columns[0]])
        places += columns.tolist()
    values, counts = np.unique(np.round(factors, 9), return_counts=True)
    assert values.tolist() == [0.8, 0.9, 1.0, 1.1, 1.2]
    assert counts[2] == pytest.approx(180, abs=50)  # a fifth of 900; others are refused at times
    assert counts.min() > 90 and counts.max() < 230
    assert np.bincount(places, minlength=6).min() > 0.12 * len(places)


def matrices(affine_N6):
    return affine_N6[:, :4].reshape(-1, 2, 2)


def test_svd_law():
    """Singular values stay; U or V^T is turned by up to half a radian, or the map is moved."""
    parts, angles, moves = [], [], []
    for system, affine_N6 in changes("svd"):
        for one, two in zip(matrices(system.affine_N6), matrices(affine_N6), strict=True):
            values = [np.linalg.svd(m, compute_uv=False) for m in (one, two)]
            assert values[0] == pytest.approx(values[1], abs=1e-12)
        moved = affine_N6[:, 4:] - system.affine_N6[:, 4:]
        if np.abs(moved).max() > 1e-12:
            (j,) = np.flatnonzero(np.abs(moved).max(axis=1) > 1e-12)
            moves += moved[j].tolist()
            parts.append(2)
            continue
        turned = np.abs(affine_N6 - system.affine_N6).max(axis=1)
        (j,) = np.flatnonzero(turned > 1e-12)
        before, after = matrices(system.affine_N6)[j], matrices(affine_N6)[j]
        u, s, v, _ = (factor[j] for factor in system.factors)
        rotation = after @ np.linalg.inv(before)  # R where U was turned
        part = 0 if np.allclose(rotation @ rotation.T, np.eye(2), atol=1e-6) else 1
        if part == 1:
            rotation = np.diag(1 / s) @ u.T @ after @ v.T
            assert rotation @ rotation.T == pytest.approx(np.eye(2), abs=1e-6)
        parts.append(part)
        angles.append(np.arctan2(rotation[1, 0], rotation[0, 0]))
    assert np.bincount(parts).min() > 0.27 * len(parts)
    for values in (angles, moves):
        assert -0.5 <= min(values) < -0.49 and 0.49 < max(values) <= 0.5
        assert np.mean(values) == pytest.approx(0.0, abs=0.04)
        assert np.std(values) == pytest.approx(1 / 12**0.5, abs=0.02)


def test_sval_law():
    """The sigma-factor stays in its range; singular values of one map keep their ratio."""
    sigmas = []
    for system, affine_N6 in changes("sval"):
        count = len(affine_N6)
        before, after = (
            np.array([np.linalg.svd(m, compute_uv=False) for m in matrices(affine)])
            for affine in (system.affine_N6, affine_N6)
        )
        ratio = after / before
        (j,) = np.flatnonzero(np.abs(ratio - 1).max(axis=1) > 1e-12)
        assert ratio[j, 0] == pytest.approx(ratio[j, 1], rel=1e-6)
        sigma = (after * [1, 2]).sum()
        assert (5 + count) / 2 - 1e-9 <= sigma <= (6 + count) / 2 + 1e-9
        sigmas.append(sigma - (5 + count) / 2)
    assert min(sigmas) < 0.01 and max(sigmas) > 0.49
    assert np.mean(sigmas) == pytest.approx(0.25, abs=0.03)


def test_singular_values():
    random = np.random.default_rng(1)
    for _ in range(300):
        affine_N6 = random.normal(size=(3, 6))
        expected = max(np.linalg.svd(m, compute_uv=False)[0] for m in matrices(affine_N6))
        assert singular_value(affine_N6) == pytest.approx(expected, rel=1e-12)
    assert singular_value(np.zeros((2, 6))) == 0.0


def test_fixed_points():
    for k in range(50):
        affine_N6 = ifs.sample_contractive(Stream(Key(1, "fixed", (k,))), 2, 3.7)
        for a, b, c, d, e, f in affine_N6:
            x, y = fixed_point(np.array([a, b, c, d, e, f]))
            assert (a * x + b * y + e, c * x + d * y + f) == pytest.approx((x, y), abs=1e-9)


@pytest.mark.parametrize("row", [[1, 0, 0, 1, 0.3, 0.2], [1, 0, 0, 0.5, 0.3, 0.2]])
def test_a_map_without_one_fixed_point_begins_at_the_origin(row):
    assert fixed_point(np.array(row, float)) == (0.0, 0.0)
