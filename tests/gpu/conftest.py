"""Tests of a GPU are skipped where there is none."""

import pytest
import torch

from tests.fdsl_train.conftest import dataset, own_temporary_folder

__all__ = ["dataset", "own_temporary_folder"]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Without CUDA only the same on a CPU is run."""
    if item.get_closest_marker("gpu") is not None and not torch.cuda.is_available():
        pytest.skip("needs a GPU: make gpu-check")
