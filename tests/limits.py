"""What a hostile file may cost a command that reads it."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Of CPU time, of this process and those it waited for: the machine may be busy. A core that shares
# its units with a busy neighbor takes twice as long for what must take 2 s.
SECONDS = 4.0
BYTES = 500_000_000  # above what was held before: the libraries alone take as much


@contextlib.contextmanager
def cheap() -> Iterator[None]:
    """What is done in this context stays below both limits.

    Libraries must be imported before, and kernels compiled: that is no fault of a file.
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    peak, began = _peak(), _cpu_seconds()
    yield
    seconds, grown = _cpu_seconds() - began, _peak() - peak
    assert seconds < SECONDS, f"it took {seconds:.1f} s of CPU time"
    assert grown < BYTES, f"it took {grown:,} bytes"


@pytest.fixture
def cheaply() -> Iterator[None]:
    """A test that stays below both limits, whatever it begins with."""
    with cheap():
        yield


def _cpu_seconds() -> float:
    return sum(os.times()[:4])


def _peak() -> int:
    """The most memory of this process, bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (kilobytes,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(kilobytes) * 1024
