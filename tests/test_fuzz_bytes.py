"""A changed byte gives an error or the same content (``fuzz_bytes.py`` changes more of them)."""

import pytest

from fdsl_gen import generate
from tests.fuzz_bytes import DATASET, RUN, fuzz, make_run, small_recipe


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz") / "data"
    generate(small_recipe(), folder, workers=1)
    return folder


def test_changed_bytes_of_a_dataset(data):
    ends, faults = fuzz(data, DATASET, 75, seed=0)
    assert faults == []
    assert min(ends.values()) > 20


def test_changed_bytes_of_a_run(data, tmp_path):
    ends, faults = fuzz(make_run(data, tmp_path / "run"), RUN, 75, seed=0)
    assert faults == []
    assert min(ends.values()) > 20
