"""Executors and job arrays on the command line: options, and what a task of an array says."""

import os
import shlex
import sys
from collections.abc import Container
from pathlib import Path
from typing import Any, NamedTuple, get_args

import click
from click.core import ParameterSource

from fdsl_gen.core.cli.paths import PATH
from fdsl_gen.core.errors import UsageError
from fdsl_gen.executors import Executor
from fdsl_gen.executors.job_array import ArrayTask, resolve
from fdsl_gen.storage.options import StorageOptions

_OWN = ("executor", "scheduler", "scheduler_file", "task_index", "num_tasks")


class Execution(NamedTuple):
    """How a command is to do its work.

    Attributes:
        executor: that was asked for; None: serial or local, by the number of workers.
        array_task: whose share it does; None: all of it.
        workers: processes; None: the CPUs that this process may use.
    """

    executor: Executor | None
    array_task: ArrayTask | None
    workers: int | None


def executor_options() -> list[click.Parameter]:
    """Options that say who does the work, and which part of it."""
    from fdsl_gen.executors.choice import Name

    return [
        click.Option(
            ["--executor"],
            type=click.Choice(get_args(Name)),
            help="a plain loop, processes of this machine, or Dask  [default: local]",
        ),
        click.Option(["--scheduler"], metavar="ADDRESS", help="Dask scheduler, tcp://host:8786"),
        click.Option(["--scheduler-file"], type=PATH, help="file with the scheduler's address"),
        click.Option(
            ["--task-index"],
            type=click.IntRange(min=0),
            help="do one share, from 0  [default: variables of the job array, mpirun or srun]",
        ),
        click.Option(
            ["--num-tasks"], type=click.IntRange(min=1), help="tasks of the job array, or ranks"
        ),
    ]


def resolve_execution(values: dict[str, Any], workers: int | None) -> Execution:
    """The options of :func:`executor_options`, taken out of ``values``.

    Dask shares the work out itself, so variables of a job array are not read beside it: Dask
    workers are often started as one.

    Raises:
        UsageError: if they do not go together.
    """
    from fdsl_gen.executors.choice import executor_named

    name, scheduler, file, index, count = (values.pop(option) for option in _OWN)
    if name == "dask" or scheduler is not None or file is not None:
        if index is not None or count is not None:
            raise UsageError("Dask and --task-index are two ways to share the work; choose one")
        array_task = None
    else:
        array_task = resolve(index, count, os.environ)
    if workers is None and array_task is not None and array_task.ranks is not None:
        workers = array_task.ranks.workers()
    executor = executor_named(name, workers=workers, scheduler=scheduler, scheduler_file=file)
    return Execution(executor, array_task, workers)


def given_options(without: Container[str] = (), only: Container[str] | None = None) -> list[str]:
    """Options of this command that were typed, as they would be typed again."""
    ctx = click.get_current_context()
    words = []
    for option in ctx.command.params:
        key = option.name or ""
        typed = ctx.get_parameter_source(key) is ParameterSource.COMMANDLINE
        if not typed or key in without or (only is not None and key not in only):
            continue
        flag, value = key.replace("_", "-"), ctx.params[key]
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", str(value)]
    return words


def search_command(name: str) -> str:
    """The command that searches the categories of the dataset that this command renders."""
    without = (*_OWN, "workers", "dry_run", "tmp_dir")
    return shlex.join(["fdsl-gen", "categories", name, *given_options(without=without)])


def estimate_command_of(name: str) -> str:
    """The command that measures what the dataset that this command renders takes."""
    without = {*_OWN, "out", "overwrite", "dry_run", "tmp_dir"}
    without.update(StorageOptions.__dataclass_fields__)
    return shlex.join(["fdsl-gen", "estimate", name, *given_options(without=without)])


def finalize_command(out: Path | str) -> str:
    """The command that completes the dataset when all tasks are done."""
    reaching = given_options(only=StorageOptions.__dataclass_fields__)
    return shlex.join(["fdsl-gen", "finalize", str(out), *reaching])


def this_command(array_task: ArrayTask | None = None) -> str:
    """The command that is running, for a user to type again, outside of an array as well."""
    words = ["fdsl-gen", *sys.argv[1:]]
    if array_task is not None:
        words += ["--task-index", str(array_task.index), "--num-tasks", str(array_task.count)]
    return shlex.join(words)
