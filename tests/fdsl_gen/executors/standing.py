"""A Dask cluster of real processes on the loopback interface."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from fdsl_gen.executors.cluster import address_in
from fdsl_gen.executors.dask import DaskExecutor
from tests import ROOT
from tests.conftest import options

POISON = Path(__file__).with_name("poison.py")
DEATHS = 2  # that the scheduler allows a task before it gives up


class Standing:
    """A scheduler and workers of one thread each; use as a context.

    Attributes:
        file: the scheduler's address file.
        flag: while this file exists, shard 3 kills its worker.
    """

    def __init__(self, folder: Path, workers: int) -> None:
        self.folder = folder
        self.file = folder / "scheduler.json"
        self.flag = folder / "poison"
        self.workers = workers
        self.processes: list[subprocess.Popen[str]] = []

    def _start(self, name: str, *args: object) -> None:
        settings = {
            "FDSL_TEST_POISON": str(self.flag),
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": str(DEATHS - 1),
            "DASK_TEMPORARY_DIRECTORY": str(self.folder),
        }
        command = [sys.executable, "-m", f"distributed.cli.{name}", *map(str, args)]
        with (self.folder / f"{name}-{len(self.processes)}.log").open("w") as log:
            self.processes.append(
                subprocess.Popen(
                    command,
                    cwd=ROOT,
                    env=os.environ | settings,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    def __enter__(self) -> "Standing":
        file = f"--scheduler-file={self.file}"
        self._start("dask_scheduler", file, "--host=127.0.0.1", "--port=0", "--no-dashboard")
        for _ in range(self.workers):
            self.add_worker()
        return self

    def add_worker(self) -> None:
        """Start a worker, with a nanny that starts it again when it dies."""
        file = f"--scheduler-file={self.file}"
        self._start("dask_worker", file, "--nthreads=1", "--no-dashboard", f"--preload={POISON}")

    def kill_scheduler(self) -> None:
        """Take the scheduler away."""
        os.killpg(self.processes[0].pid, signal.SIGKILL)

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    @property
    def address(self) -> str:
        """Of the scheduler."""
        return address_in(self.file)


def executor(cluster: Standing) -> DaskExecutor:
    """An executor of this cluster."""
    return DaskExecutor(scheduler_file=cluster.file)


# Enough work for a run to be caught in the middle.
# A shard takes a third of a second on a quiet machine: time to kill somebody in the middle of it.
MEDIUM = {"image_size": 256, "num_points": 100_000, "num_categories": 4800, "filling_rate": 0.03}
MEDIUM |= {"num_shards": 12}


def start(out: Path, *args: object, **popen: Any) -> subprocess.Popen[str]:
    """Begin to render MEDIUM."""
    command = [sys.executable, "-m", "fdsl_gen.cli", "fractal-1", f"--out={out}"]
    command += [*options(MEDIUM), *map(str, args)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **popen
    )
