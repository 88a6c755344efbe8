"""Pixels of published recipes do not change by accident."""

import json

import numpy as np
import pytest

from fdsl_gen.recipe.jobs import jobs_of
from tests.golden.samples import DIGESTS, NAMES, golden_digests, golden_recipe, pinned


@pytest.mark.parametrize("name", NAMES)
def test_pinned_digests(name):
    assert golden_digests(golden_recipe(name)) == json.loads(DIGESTS.read_text())[name]


def test_nothing_else_is_pinned():
    assert set(json.loads(DIGESTS.read_text())) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_pinned_samples_are_not_blank(name):
    recipe = golden_recipe(name)
    for rendered in recipe.variant.render(jobs_of(recipe, pinned(recipe))):
        assert np.any(rendered.image)
