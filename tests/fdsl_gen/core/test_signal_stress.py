"""A few signals while rendering; ``signal_stress.py`` sends more, and trains, too."""

from pathlib import Path

import pytest

from tests.fdsl_gen.core.signal_stress import Command, commands, stress

pytestmark = pytest.mark.slow  # starts processes


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Command]:
    return commands(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize(("seed", "name"), [(0, "render"), (1, "search")])
def test_signals_at_random_moments(
    every: dict[str, Command], tmp_path: Path, seed: int, name: str
) -> None:
    codes = stress(every[name], 4, tmp_path, seed=seed, cold=3)
    assert sum(n for case, n in codes.items() if not case.startswith("ended before")) == 4
    assert any(not case.endswith(": 0") for case in codes), f"no signal came in time: {codes}"
