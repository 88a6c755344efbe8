"""Locks have a limit and a sentence."""

import time
from pathlib import Path

import pytest

from fdsl_gen.core.locks import StillLocked, locked


def test_a_lock_is_waited_for_as_long_as_was_said(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locked(path):
        began = time.monotonic()
        sentence = f"waited 0 s for another process .* lock {path}"
        with pytest.raises(StillLocked, match=sentence), locked(path, 0.3):
            pass
        assert 0.3 <= time.monotonic() - began < 5
    with locked(path, 0):
        pass


def test_the_wait_begins_anew_while_the_holder_is_at_work(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    steps = iter([*range(5), *[5] * 1000])
    with locked(path):
        began = time.monotonic()
        with pytest.raises(StillLocked), locked(path, 0.2, progress=lambda: next(steps)):
            pass
        assert time.monotonic() - began > 0.4
