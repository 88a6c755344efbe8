"""Where the machine code of kernels is kept, and that none but what was written is run."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # starts processes

USE = """
from fdsl_gen.kernels import elementary
print(elementary.sin(0.5), sum(elementary.sin.stats.cache_hits.values()))
"""


def use(cache: Path, **more: str) -> tuple[float, int]:
    """What a kernel computes in a process of its own, and how much of it came from the cache."""
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)} | more
    done = subprocess.run(
        [sys.executable, "-c", USE], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    value, hits = done.stdout.split()
    return float(value), int(hits)


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:20],
        lambda data: data[:-1],
        lambda data: bytes(len(data)),
        lambda data: b"garbage" * 100,
        flip,
    ],
    ids=["empty", "cut early", "cut late", "zeros", "garbage", "one bit"],
)
def test_damaged_machine_code_is_compiled_anew(
    compiled: tuple[Path, float], tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    cache, value = compiled
    files = list(cache.rglob("*.nbc"))
    assert files
    whole = {path: path.read_bytes() for path in files}
    for path, data in whole.items():
        path.write_bytes(damage(data))
    assert use(cache) == (value, 0)
    assert use(cache) == (value, 1)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    cache = tmp_path_factory.mktemp("cache")
    value, hits = use(cache)
    assert hits == 0
    assert use(cache) == (value, 1)
    return cache, value


def test_a_folder_that_others_can_write_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "fdsl").mkdir()
    (tmp_path / "fdsl").chmod(0o777)
    (tmp_path / f"fdsl-{os.getuid()}").mkdir()
    (tmp_path / f"fdsl-{os.getuid()}").chmod(0o777)
    for _ in range(2):
        assert use(tmp_path, TMPDIR=str(tmp_path))[1] == 0
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_machine_code_that_cannot_be_kept_is_used_all_the_same(tmp_path: Path) -> None:
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))" + USE
    done = subprocess.run(
        [sys.executable, "-c", limited],
        env=os.environ | {"XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
