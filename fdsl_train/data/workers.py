"""Loader processes: how many, how they start, and how what they build comes back."""

import functools
import multiprocessing
import os
import re
import shutil
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

from torch import Tensor, from_numpy

from fdsl_gen.core.cpus import default_workers
from fdsl_gen.storage.client import used_here
from fdsl_train.transforms.batch import Batch

_MOST = 16  # that are started unasked
_SHARED_MEMORY = Path("/dev/shm")  # containers often give it 64 MB
# How launchers say how many processes of a run a machine has; SLURM's is like 8(x2),4.
_HERE = ("LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "SLURM_STEP_TASKS_PER_NODE")


def loader_processes(asked: int | None) -> int:
    """How many loader processes to start.

    More than there are CPUs for this process would only take turns.

    Args:
        asked: at most so many; None: one for each CPU that is granted, 16 at most.
    """
    granted = default_workers()
    if asked is not None:
        return min(asked, granted)
    # torchrun does not share the CPUs of a machine out to its processes.
    return max(1, min(_MOST, granted // _count("LOCAL_WORLD_SIZE")))


def start_method(preload: str) -> BaseContext | None:
    """How loader processes start: None as PyTorch does, which forks them on Linux.

    Object storage cannot be used in a process that was forked from one that has used it. Loader
    processes then come from a server process, which loads the module ``preload`` once. A process
    that has used it once stays so; all its loaders start alike from then on.
    """
    if not used_here():
        return None
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([preload])
    return context


class Copied:
    """A batch that is copied to the process that trains instead of shared with it."""

    def __init__(self, batch: Batch) -> None:
        self._arrays = _each(Tensor.numpy, batch)

    def batch(self) -> Batch:
        """What was copied."""
        found: Batch = _each(from_numpy, self._arrays)
        return found

    def pin_memory(self) -> Batch:
        """What was copied, where a GPU can fetch it; PyTorch's loader looks for this name."""
        found: Batch = _each(Tensor.pin_memory, self.batch())
        return found


def to_hand_over(batch: Batch, workers: int) -> Batch | Copied:
    """A batch as a loader process hands it over: in shared memory, if there is room.

    PyTorch puts tensors into ``/dev/shm``, where a write beyond its end kills the process. A
    quarter of it is left free, even if all loader processes of this machine hand over a batch at
    once; what finds no room there is copied through a pipe.

    Args:
        batch: on the CPU.
        workers: loader processes of each process of the run.
    """
    return batch if _has_room(_bytes_of(batch) * workers * _processes_here()) else Copied(batch)


def _has_room(needed: int) -> bool:
    try:
        found = shutil.disk_usage(_SHARED_MEMORY)
    except OSError:  # systems whose shared memory is no file system
        return True
    return found.free - needed >= found.total // 4


@functools.cache
def _processes_here() -> int:
    """Processes of the run on this machine."""
    return max(map(_count, _HERE))


def _count(variable: str) -> int:
    found = re.match(r"[1-9][0-9]*", os.environ.get(variable, ""))
    return int(found[0]) if found else 1


def _bytes_of(value: Any) -> int:
    if isinstance(value, tuple):
        return sum(map(_bytes_of, value))
    return value.nbytes if isinstance(value, Tensor) else 0


def _each(function: Any, value: Any) -> Any:
    """A batch with ``function`` of all that it holds."""
    if isinstance(value, Batch):
        return Batch(*(_each(function, part) for part in value))
    if isinstance(value, tuple):
        return tuple(_each(function, part) for part in value)
    return None if value is None else function(value)
