"""One cluster for all tests that do it no harm."""

import pytest

from tests.fdsl_gen.executors.standing import Standing


@pytest.fixture(scope="package")
def standing(tmp_path_factory):
    """A Dask scheduler and two worker processes."""
    with Standing(tmp_path_factory.mktemp("cluster"), workers=2) as cluster:
        yield cluster
