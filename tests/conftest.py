"""Shared helpers: small datasets, and the command as a user runs it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest

from fdsl_gen import generate, load_recipe
from tests import ROOT

pytest_plugins = ["tests.fdsl_gen.storage.emulators", "tests.limits"]

# The first call of a kernel compiles it, so times of single examples say nothing.
hypothesis.settings.register_profile("fdsl", deadline=None)
hypothesis.settings.load_profile("fdsl")

# A shell starts what it puts into the background with interrupts ignored, and so would be the
# commands that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # under nohup
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

MARKERS_OF_FOLDERS = {
    "executors": "cluster",
    "storage": "storage",
    "fdsl_train": "train",
    "gpu": "train",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of some folders have a marker; images that take seconds are slow."""
    for item in items:
        for name in MARKERS_OF_FOLDERS.keys() & set(item.path.relative_to(ROOT / "tests").parts):
            item.add_marker(MARKERS_OF_FOLDERS[name])
        if "[mandelbulb" in item.name:
            item.add_marker("slow")


SMALL = {"image_size": 64, "num_points": 3000, "num_categories": 40, "filling_rate": 0.03}


@pytest.fixture
def small():
    """Makes a small fractal-1 recipe; keyword arguments override."""

    def make(**overrides):
        return load_recipe("fractal-1", **(SMALL | overrides))

    return make


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory) -> Path:
    """A finished small dataset; tests must not change it."""
    out = tmp_path_factory.mktemp("dataset") / "small"
    generate(load_recipe("fractal-1", **SMALL), out, workers=1)
    return out


def options(settings: dict) -> list[str]:
    """Settings as command line options."""
    return [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]


def fdsl_gen(*args: object, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess:
    """Run ``fdsl-gen`` in a process of its own."""
    command = [sys.executable, "-m", "fdsl_gen.cli", *map(str, args)]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env=os.environ | env, timeout=300
    )
