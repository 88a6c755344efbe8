"""A dataset as jobs of SLURM: the search for categories, the shards, the last step.

Each job waits for all of the one before it. To submit them again is safe: what is there is not made
again.
"""

import math
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fdsl_gen.build.estimate import Estimate
from fdsl_gen.core.errors import FdslError, UsageError
from fdsl_gen.recipe.category_blocks import BLOCK
from fdsl_gen.recipe.order import shards_of
from fdsl_gen.recipe.recipe import Recipe
from fdsl_gen.storage import local

_TASK_SECONDS = 900.0  # of a task where nothing else is asked for
_MOST_TASKS = 64
_MARGIN = 2.0  # nodes are slower than the machine that measured, or busy
_START_SECONDS = 300.0
_READ = 200e6  # bytes a second of a slow file system
_STEP = 300  # times are rounded up to five minutes
_FINALIZE_CPUS = 4  # shards are read by so many threads


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of SLURM.

    Attributes:
        cpus: of a task.
        tasks: of an array; None: so many that one takes a quarter of an hour.
        time: limit of each job as SLURM writes it; None: from the estimate.
        memory: of a task as SLURM writes it; None: from the estimate.
        partition, account: None: those that SLURM chooses.
        sbatch: further options, such as ``--qos=long``.
        before: lines of the shell that come before the command.
    """

    cpus: int
    tasks: int | None = None
    time: str | None = None
    memory: str | None = None
    partition: str | None = None
    account: str | None = None
    sbatch: tuple[str, ...] = ()
    before: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether no estimate is needed."""
        return None not in (self.tasks, self.time, self.memory)


@dataclass(frozen=True, slots=True)
class Job:
    """A job: its name and what its script says.

    Attributes:
        name: of the script's file, without its ending.
        tasks: of its array; 0: none.
        cpus: of a task.
        seconds: that a task may take; None: what was asked for.
        commands: words of the commands that it runs, one after the other.
    """

    name: str
    tasks: int
    cpus: int
    seconds: float | None
    commands: tuple[Sequence[str], ...]


def jobs_for(
    recipe: Recipe,
    request: Request,
    found: Estimate | None,
    *,
    search: Sequence[str],
    render: Sequence[str],
    last: Sequence[Sequence[str]],
) -> list[Job]:
    """The jobs of a dataset, in order.

    Args:
        recipe: of the dataset.
        request: what is asked for.
        found: what the dataset takes; None: ``request`` says everything.
        search, render: commands of a task of the two arrays.
        last: commands when all shards are there.
    """
    shards = len(shards_of(recipe))
    cpus = request.cpus
    jobs = []
    if recipe.variant.SEARCHED:
        blocks = math.ceil(recipe.num_categories / BLOCK)
        each = None if found is None else BLOCK * found.category_seconds
        jobs.append(_array("categories", blocks, each, request, search))
    each = None if found is None else found.render_wall(1) / shards
    jobs.append(_array("render", shards, each, request, render))
    seconds = None if found is None else _START_SECONDS + found.bytes / _READ * len(last)
    jobs.append(Job("finalize", 0, min(cpus, _FINALIZE_CPUS), seconds, tuple(last)))
    return jobs


def _array(
    name: str, items: int, each: float | None, request: Request, command: Sequence[str]
) -> Job:
    """An array that does so many items of ``each`` seconds."""
    cpus = request.cpus
    full = math.ceil(items / cpus)  # tasks in which every CPU has an item at most
    if request.tasks is not None or each is None:
        tasks = min(request.tasks or 1, full)
    else:
        tasks = min(_MOST_TASKS, full, math.ceil(items * each / cpus / _TASK_SECONDS))
    tasks = max(1, tasks)
    rounds = math.ceil(math.ceil(items / tasks) / cpus)
    seconds = None if each is None else _START_SECONDS + _MARGIN * rounds * each
    return Job(name, tasks, cpus, seconds, (command,))


def script(
    job: Job,
    after: Job | None,
    request: Request,
    title: str,
    folder: Path,
    found: Estimate | None,
) -> str:
    """The script of a job, for ``sbatch``.

    Args:
        job: which.
        after: the job that it waits for.
        request: what is asked of SLURM.
        title: of the dataset.
        folder: of scripts and logs, absolute.
        found: what the dataset takes; None: ``request`` says everything.
    """
    written = str(folder).replace("%", "%%")  # SLURM puts numbers in place of %j and the like
    log = f"{written}/{job.name}-%{'A_%a' if job.tasks else 'j'}.log"
    options = [f"--job-name={title}-{job.name}", f'--output="{log}"']
    if job.tasks:
        options.append(f"--array=0-{job.tasks - 1}")
    options += [f"--cpus-per-task={job.cpus}", f"--mem={_memory(job, request, found)}"]
    options.append(f"--time={request.time or _time(job.seconds or 0.0)}")
    options += [f"--partition={request.partition}"] if request.partition else []
    options += [f"--account={request.account}"] if request.account else []
    # Shards in hand are given up a minute before the end; the task can be run again.
    options += ["--signal=B:USR1@60"] if job.tasks else []
    options += ["--kill-on-invalid-dep=yes", *request.sbatch]
    waits = f"# {job.name}.sbatch{f', after all of {after.name}.sbatch' if after else ''}"
    lines = ["#!/bin/bash", waits, *(f"#SBATCH {option}" for option in options)]
    lines += [f"cd {shlex.quote(str(Path.cwd()))} || exit 2", *request.before]
    commands = [shlex.join(words) for words in job.commands]
    lines += [f"{command} || exit" for command in commands[:-1]] + [f"exec {commands[-1]}"]
    return "\n".join(lines) + "\n"


def _memory(job: Job, request: Request, found: Estimate | None) -> str:
    if request.memory is not None or found is None:
        return str(request.memory)
    mebibytes = 1024 + 1.3 * found.memory * (job.cpus if job.tasks else 1) / 2**20
    return f"{math.ceil(mebibytes / 512) * 512}M"


def _time(seconds: float) -> str:
    """A time limit, rounded up."""
    minutes = math.ceil(seconds / _STEP) * _STEP // 60
    days, rest = divmod(minutes, 24 * 60)
    clock = f"{rest // 60:02d}:{rest % 60:02d}:00"
    return f"{days}-{clock}" if days else clock


def submit(scripts: dict[str, str], folder: Path) -> list[str]:
    """Write scripts and submit them, each to wait for all tasks of the one before.

    Args:
        scripts: texts by name, in order.
        folder: of scripts and logs; is made if it does not exist.

    Returns:
        Numbers of the jobs.

    Raises:
        UsageError: if there is no ``sbatch``.
        FdslError: if SLURM refused one; those before it are submitted.
    """
    with local.at_place_of_user(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in scripts.items():
            local.write(folder / f"{name}.sbatch", text.encode())
    numbers: list[str] = []
    for name in scripts:
        words = ["sbatch", "--parsable"]
        words += [f"--dependency=afterok:{numbers[-1]}"] if numbers else []
        words.append(str(folder / f"{name}.sbatch"))
        try:
            done = subprocess.run(words, capture_output=True, text=True)
        except FileNotFoundError:
            raise UsageError(
                "there is no sbatch here: run this on a machine of the cluster, or look at the"
                f" scripts in {folder}"
            ) from None
        number = done.stdout.strip().partition(";")[0]  # 17;cluster
        if done.returncode or not number.isdigit():
            said = (done.stderr or done.stdout).strip().splitlines()
            begun = f"; cancel the others: scancel {' '.join(numbers)}" if numbers else ""
            raise FdslError(
                f"sbatch refused {words[-1]}: {said[-1] if said else 'without a word'}{begun}"
            )
        numbers.append(number)
    return numbers
