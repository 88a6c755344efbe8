"""Which executor runs a command, and with how many processes."""

from pathlib import Path
from typing import Literal

from fdsl_gen.core.cpus import default_workers
from fdsl_gen.core.errors import UsageError
from fdsl_gen.executors import Executor
from fdsl_gen.executors.local import LocalExecutor
from fdsl_gen.executors.serial import SerialExecutor

Name = Literal["serial", "local", "dask"]


def executor_for(workers: int | None, tasks: int) -> Executor:
    """A plain loop for one worker or one task, else local processes."""
    count = min(workers or default_workers(), max(tasks, 1))
    return SerialExecutor() if count == 1 else LocalExecutor(count)


def executor_named(
    name: Name | None,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    scheduler_file: Path | None = None,
) -> Executor | None:
    """The executor that the options of a command ask for; None: see :func:`executor_for`.

    Raises:
        UsageError: if the options do not go together, or Dask is not installed.
    """
    if scheduler is not None and scheduler_file is not None:
        raise UsageError("give --scheduler or --scheduler-file, not both")
    standing = scheduler is not None or scheduler_file is not None
    if standing and name not in (None, "dask"):
        raise UsageError(f"a Dask scheduler is of no use to --executor {name}")
    if standing and workers is not None:
        raise UsageError("--workers is for this machine; a Dask scheduler knows its workers")
    if name == "serial":
        if workers not in (None, 1):
            raise UsageError("--executor serial has one worker; leave --workers away")
        return SerialExecutor()
    if name == "local":
        return LocalExecutor(workers or default_workers())
    if name == "dask" or standing:
        from fdsl_gen.executors.dask import DaskExecutor

        return DaskExecutor(
            scheduler=scheduler,
            scheduler_file=scheduler_file,
            workers=workers or default_workers(),
        )
    return None
