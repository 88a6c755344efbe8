"""What the processes of a run tell each other.

A single process needs no group: every exchange below is then the value itself.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from fdsl_gen.core.errors import FdslError
from fdsl_train.distributed.launch import Process
from fdsl_train.distributed.meet import meet

T = TypeVar("T")


class Group:
    """The processes of a run, as seen from one of them. Made by :func:`joined`."""

    def __init__(self, process: Process, device: torch.device) -> None:
        self.rank = process.rank
        self.world_size = process.world_size
        self.device = device

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files and talks to the user."""
        return self.rank == 0

    def sum(self, values: list[float]) -> list[float]:
        """Each number summed over all processes, in float64."""
        if self.world_size == 1:
            return values
        tensor = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(tensor)
        return [float(value) for value in tensor]

    def any(self, fact: bool) -> bool:
        """Whether it is so in any process."""
        return self.sum([float(fact)])[0] > 0

    def from_first(self, make: Callable[[], T]) -> T:
        """What ``make`` returns in process 0, for all; nobody waits for one that failed.

        Raises:
            FdslError: in every process, as ``make`` did in the first.
            BaseException: in the first, whatever else ``make`` raised; the others then raise an
                FdslError.
        """
        if self.world_size == 1:
            return make()
        box: list[Any] = [None, None]
        failure: BaseException | None = None
        if self.is_main:
            try:
                box[0] = make()
            except BaseException as error:  # told to the others before it goes its way
                failure = error
                box[1] = error if isinstance(error, FdslError) else _lost()
        dist.broadcast_object_list(box, device=torch.device("cpu"))
        if failure is not None:
            raise failure
        if box[1] is not None:
            raise box[1]
        value: T = box[0]
        return value

    def on_all(self, make: Callable[[], T]) -> T:
        """What ``make`` returns in each process; where it fails in one, none goes on.

        Raises:
            BaseException: what ``make`` raised here.
            FdslError: if it failed in another process, which will explain it.
        """
        failure: BaseException | None = None
        try:
            value = make()
        except BaseException as error:  # told to the others before it goes its way
            failure = error
        failed = self.any(failure is not None)
        if failure is not None:
            raise failure
        if failed:
            raise _lost()
        return value

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """A CPU tensor of the same shape from every process, by rank."""
        if self.world_size == 1:
            return [tensor]
        found = [torch.empty_like(tensor) for _ in range(self.world_size)]
        dist.all_gather(found, tensor)
        return found


def backend_of(device: torch.device) -> str:
    """How tensors travel: those on the CPU by gloo, those on a GPU by NCCL."""
    return "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"


@contextmanager
def process_group(process: Process, device: torch.device) -> Iterator[Group]:
    """Meet the other processes of the run, and part at the end.

    Raises:
        UsageError: if the others cannot be met.
        FdslError: if another process ended, which it will have explained.
    """
    if process.world_size == 1:
        yield Group(process, device)
        return
    store = meet(process)
    dist.init_process_group(
        backend_of(device), store=store, rank=process.rank, world_size=process.world_size
    )
    try:
        yield Group(process, device)
    except RuntimeError as error:
        if not _is_loss_of_peer(error):
            raise
        raise _lost() from None
    finally:
        dist.destroy_process_group()


def _lost() -> FdslError:
    """The end of a process because of another one."""
    lost = FdslError("another process of the run ended")
    lost.all_ranks = False
    return lost


def _is_loss_of_peer(error: RuntimeError) -> bool:
    if isinstance(error, dist.DistError):
        return True
    text = str(error)
    return "gloo" in text and ("onnection" in text or "peer" in text)
