"""Job arrays and ranks: which share of the work is that of this task.

A task needs to know its number and how many there are; both come from options or from what the
scheduler and the launcher of ranks set. Shares are strided (task i of n does items i, i + n, ...):
all shards of a dataset cost about the same, so shares differ by one shard at most, both splits are
spread over all tasks, and what an unfinished array leaves is spread over the dataset.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from fdsl_gen.core.errors import UsageError
from fdsl_gen.executors.ranks import Ranks, find_ranks

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ArrayTask:
    """Task ``index`` (from 0) of ``count``.

    Attributes:
        ranks: what started it beside other tasks of the machine; None: a scheduler, or options.
    """

    index: int
    count: int
    ranks: Ranks | None = field(default=None, compare=False)

    def of(self, items: Sequence[T]) -> list[T]:
        """The items that are this task's; those of all tasks together are ``items``."""
        return list(items[self.index :: self.count])

    def __str__(self) -> str:
        return f"task {self.index} of {self.count} (counted from 0)"

    @property
    def origin(self) -> str:
        """What to add to the first words about a task that is a rank."""
        return "" if self.ranks is None else f"; {self.ranks}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduler:
    """How a scheduler describes an array: names of environment variables.

    Attributes:
        index: the task's number.
        outside: what ``index`` says in a job that is no array, if it is set there.
        base: the lowest number that an array usually has.
        first, last: the lowest and the highest number of this array; None if no variable tells.
        count: how many tasks this array has.
        step: the distance between numbers.
    """

    index: str
    outside: str = ""
    base: int = 0
    first: str | None = None
    last: str | None = None
    count: str | None = None
    step: str | None = None

    def holds(self, environment: Mapping[str, str]) -> bool:
        """Whether this process is a task of an array."""
        return environment.get(self.index, "") not in ("", self.outside)

    def array_task(self, environment: Mapping[str, str]) -> ArrayTask | None:
        """This task's share; None if the variables do not describe an array without gaps."""
        first = self.base if self.first is None else _number(environment, self.first)
        last, count, step = (_number(environment, n) for n in (self.last, self.count, self.step))
        index = _number(environment, self.index)
        if first is None or index is None or step not in (None, 1):
            return None
        sizes = {count} if last is None else {last - first + 1}
        if count is not None:
            sizes.add(count)
        size = sizes.pop()
        if sizes or size is None or not 0 <= index - first < size:
            return None
        return ArrayTask(index - first, size)


SCHEDULERS = (
    # SLURM
    Scheduler(
        index="SLURM_ARRAY_TASK_ID",
        first="SLURM_ARRAY_TASK_MIN",
        last="SLURM_ARRAY_TASK_MAX",
        count="SLURM_ARRAY_TASK_COUNT",
        step="SLURM_ARRAY_TASK_STEP",
    ),
    # PBS Pro and OpenPBS; Torque
    Scheduler(index="PBS_ARRAY_INDEX"),
    Scheduler(index="PBS_ARRAYID"),
    # Grid Engine, whose numbers cannot be 0
    Scheduler(
        index="SGE_TASK_ID",
        outside="undefined",
        base=1,
        first="SGE_TASK_FIRST",
        last="SGE_TASK_LAST",
        step="SGE_TASK_STEPSIZE",
    ),
    # LSF, likewise
    Scheduler(
        index="LSB_JOBINDEX",
        outside="0",
        base=1,
        last="LSB_JOBINDEX_END",
        step="LSB_JOBINDEX_STEP",
    ),
    # Kubernetes, Jobs of completionMode Indexed
    Scheduler(index="JOB_COMPLETION_INDEX"),
    # AWS Batch
    Scheduler(index="AWS_BATCH_JOB_ARRAY_INDEX", count="AWS_BATCH_JOB_ARRAY_SIZE"),
)


def _number(environment: Mapping[str, str], name: str | None) -> int | None:
    text = "" if name is None else environment.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise UsageError(
            f"{name} should be a number, not '{text}'; give --task-index and --num-tasks"
        )
    return int(text)


def resolve(
    index: int | None, count: int | None, environment: Mapping[str, str]
) -> ArrayTask | None:
    """The share of this process; None if it is alone.

    Ranks divide the share of the array's task that started them: rank r of R in task i of n is task
    i R + r of n R.

    Args:
        index: option ``--task-index``, from 0; None: the scheduler's number. Beside ``count`` that
            number counts from 0 (Grid Engine, LSF: from 1), whatever the array's first number is,
            so that a task keeps its share when only some of an array are submitted again.
        count: option ``--num-tasks``; None: what the scheduler tells. With both options given
            neither array nor ranks are looked at.
        environment: variables of the process.

    Raises:
        UsageError: if the two cannot be known.
    """
    if index is not None and count is not None:
        return _checked(index, count)
    ranks = find_ranks(environment)
    found = [scheduler for scheduler in SCHEDULERS if scheduler.holds(environment)]
    if not found:
        return _of_ranks(index, count, ranks)
    if len(found) > 1:
        names = " and ".join(scheduler.index for scheduler in found)
        raise UsageError(f"{names} are both set; give --task-index and --num-tasks")
    task = _checked(*_from(found[0], index, count, environment))
    if ranks is None:
        return task
    if not ranks.size:
        raise UsageError(_no_size(ranks))
    return ArrayTask(task.index * ranks.size + ranks.rank, task.count * ranks.size, ranks)


def _checked(index: int, count: int, ranks: Ranks | None = None) -> ArrayTask:
    if not 0 <= index < count:
        raise UsageError(
            f"the task index must be at least 0 and below the number of tasks, {count}, not {index}"
        )
    return ArrayTask(index, count, ranks)


def _of_ranks(index: int | None, count: int | None, ranks: Ranks | None) -> ArrayTask | None:
    """The share of a rank outside of any array."""
    if ranks is None and index is None and count is None:
        return None
    if ranks is None or index is not None:  # an index beside ranks would be that of all of them
        raise UsageError("give both --task-index and --num-tasks, or neither")
    if not (size := count or ranks.size):
        raise UsageError(_no_size(ranks))
    return _checked(ranks.rank, size, ranks)


def _no_size(ranks: Ranks) -> str:
    name = ranks.launcher.rank
    return (
        f"{name}={ranks.rank} is a rank, and nothing tells how many there are; give --task-index"
        f" and --num-tasks, or unset {name} where nothing else was started"
    )


def _from(
    scheduler: Scheduler, index: int | None, count: int | None, environment: Mapping[str, str]
) -> tuple[int, int]:
    """Index and count, what was not given taken from the scheduler's variables."""
    name = scheduler.index
    number = _number(environment, name) or 0
    if count is not None:
        given = number - scheduler.base
        if not 0 <= given < count:
            raise UsageError(
                f"{name}={number} is not in an array of {count} that begins with"
                f" {scheduler.base}; give --task-index, counted from 0, as well"
            )
        return given, count
    array_task = scheduler.array_task(environment)
    if array_task is None:
        raise UsageError(
            f"{name}={number} does not tell how many tasks the whole array has (or it has gaps);"
            f" give --num-tasks, with arrays that begin with {scheduler.base}"
        )
    return array_task.index if index is None else index, array_task.count
