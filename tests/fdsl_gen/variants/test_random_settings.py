"""What holds for any valid settings of any kind of dataset, those of the registry."""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
from collections import Counter
from random import Random

import numpy as np
import pytest

from fdsl_gen import load_recipe
from fdsl_gen.core.errors import FdslError
from fdsl_gen.core.keys import Key
from fdsl_gen.core.recipe_files import recipe_folder, recipe_names
from fdsl_gen.recipe.jobs import jobs_of
from fdsl_gen.variants import kinds, variant_class
from tests import ROOT
from tests.fdsl_gen.variants.random_settings import (
    changed,
    draw,
    draw_all,
    draw_recipe,
    files,
    short_searches,
    some_samples,
)

SEED, COUNT = 0, 16


@pytest.fixture(scope="module")
def without_jit() -> dict[str, list[str]]:
    """What random settings draw where the same Python code runs uncompiled."""
    # Compiled code overflows in silence, NumPy's scalars warn; both give infinity.
    python = [sys.executable, "-W", "error", "-W", "ignore::RuntimeWarning"]
    run = subprocess.run(
        [*python, "-m", "tests.fdsl_gen.variants.random_settings", str(SEED), str(COUNT)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)},
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, list[str]] = json.loads(run.stdout)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", kinds())
def test_the_jit_changes_no_pixel(kind, without_jit):
    drawn = draw_all(SEED, COUNT, [kind])[kind]
    assert drawn == without_jit[kind]
    assert len({line.rpartition(" ")[2] for line in drawn}) > COUNT // 2, "hardly any image"


@pytest.fixture(scope="module", params=kinds())
def recipes(request, tmp_path_factory):
    """Recipes of a kind with random settings."""
    known = files(tmp_path_factory.mktemp("files"))
    rng = Random(f"{request.param} {SEED + 1}")
    with short_searches():
        yield [draw_recipe(request.param, known, rng) for _ in range(8)]


def test_images_are_as_announced_and_do_not_depend_on_their_order(recipes):
    for made in recipes:
        wanted = some_samples(made, Random(0))
        try:
            drawn = list(made.variant.render(jobs_of(made, wanted)))
        except FdslError:  # a search without success
            continue
        spec = made.variant.image
        for one in drawn:
            colors = (3,) if spec.channels == 3 else ()
            assert one.image.shape == (spec.height, spec.width, *colors)
            assert one.image.dtype == np.uint8
            assert one.image.flags.c_contiguous
            assert spec.levels is None or set(np.unique(one.image)) <= set(spec.levels)
        assert draw(made, wanted[::-1]) == draw(made, wanted)[::-1]
        assert draw(made, wanted[1:]) == draw(made, wanted)[1:]


def test_the_number_of_categories_is_in_the_identity_where_it_counts(recipes):
    for few in recipes:
        many = dataclasses.replace(few, num_categories=50)
        if few.variant.uses_num_categories:
            assert few.identity != many.identity
            continue
        assert few.identity == many.identity
        wanted = some_samples(few, Random(0))
        assert draw(few, wanted) == draw(many, wanted)


PATHS = {"source", "categories_from"}  # what they hold is in the identity, not where it is


@pytest.mark.parametrize("kind", kinds())
def test_every_setting_is_in_the_identity(kind, tmp_path):
    rng, known = Random(3), files(tmp_path)
    names = {field.name for field in dataclasses.fields(variant_class(kind, "test"))} - PATHS
    for name in sorted(names):
        for _ in range(50):
            made = dataclasses.replace(draw_recipe(kind, known, rng), encoding="rgb8")
            other = changed(made.variant, name, rng)
            if other is not None:
                break
        assert other is not None, f"no other value of {name} was drawn"
        assert dataclasses.replace(made, variant=other).identity != made.identity, name


@pytest.mark.parametrize("kind", kinds())
def test_draws_of_an_image_come_from_keys_of_their_own(kind, tmp_path, monkeypatch):
    """Two uses of one key would draw the same numbers for two things."""
    rng, known = Random(5), files(tmp_path)
    used = Counter()
    words = Key.words.fget

    def counted(key):
        used[key] += 1
        return words(key)

    monkeypatch.setattr(Key, "words", property(counted))
    drawn = []
    with short_searches():
        while not drawn:
            made = draw_recipe(kind, known, rng)
            if kind == "rcdb":
                variant = dataclasses.replace(made.variant, broken_contours=3)
                made = dataclasses.replace(made, variant=variant)
            with contextlib.suppress(FdslError):  # a search without success
                (job,) = jobs_of(made, some_samples(made, rng)[:1])
                used.clear()
                drawn = list(made.variant.render([job]))
    twice = {key.role for key, count in used.items() if count > 1}
    # Growth and grays of a figure take words of one key that are far apart.
    assert {role for role in twice if not role.endswith("figure")} == set()


def test_every_kind_has_a_recipe():
    names = recipe_names(recipe_folder())
    assert {load_recipe(name).variant.KIND for name in names} == set(kinds())
