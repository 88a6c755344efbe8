"""Which engine runs a command, and with how many processes."""

from pathlib import Path
from typing import Literal

from fdsl_gen.core.cpus import default_workers
from fdsl_gen.core.errors import UsageError
from fdsl_gen.executors import Engine
from fdsl_gen.executors.local import LocalEngine
from fdsl_gen.executors.serial import SerialEngine

Name = Literal["serial", "local", "dask"]


def engine_for(workers: int | None, tasks: int) -> Engine:
    """A plain loop for one worker or one task, else local processes."""
    count = min(workers or default_workers(), max(tasks, 1))
    return SerialEngine() if count == 1 else LocalEngine(count)


def engine_named(
    name: Name | None,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    scheduler_file: Path | None = None,
) -> Engine | None:
    """The engine that the options of a command ask for; None: see :func:`engine_for`.

    Raises:
        UsageError: if the options do not go together, or Dask is not installed.
    """
    if scheduler is not None and scheduler_file is not None:
        raise UsageError("give --scheduler or --scheduler-file, not both")
    standing = scheduler is not None or scheduler_file is not None
    if standing and name not in (None, "dask"):
        raise UsageError(f"a Dask scheduler is of no use to --engine {name}")
    if standing and workers is not None:
        raise UsageError("--workers is for this machine; a Dask scheduler knows its workers")
    if name == "serial":
        if workers not in (None, 1):
            raise UsageError("--engine serial has one worker; leave --workers away")
        return SerialEngine()
    if name == "local":
        return LocalEngine(workers or default_workers())
    if name == "dask" or standing:
        from fdsl_gen.executors.dask import DaskEngine

        return DaskEngine(
            scheduler=scheduler,
            scheduler_file=scheduler_file,
            workers=workers or default_workers(),
        )
    return None
