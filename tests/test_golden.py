"""Pixels of published recipes do not change by accident."""

import json

import numpy as np
import pytest

from tests.golden.samples import DIGESTS, NAMES, golden_digests, golden_recipe, golden_samples


@pytest.mark.parametrize("name", NAMES)
def test_pinned_digests(name):
    recipe = golden_recipe(name)
    samples = golden_samples(recipe)
    assert golden_digests(recipe, samples) == json.loads(DIGESTS.read_text())[name]
    assert all(np.any(sample.image) for sample in samples)  # none is blank


def test_nothing_else_is_pinned():
    assert set(json.loads(DIGESTS.read_text())) == set(NAMES)
