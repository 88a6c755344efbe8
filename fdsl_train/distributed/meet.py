"""Waiting for the other processes of a run: told at once, with an end, and open to signals."""

import itertools
import logging
import os
import socket
import time
from datetime import timedelta

from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]

from fdsl_gen.core.errors import FdslError, UsageError
from fdsl_train.distributed.launch import TIMEOUT, Process

logger = logging.getLogger(__name__)

_ARRIVED = "arrived"
_meetings = itertools.count()  # of this process
_POLL_SECONDS = 0.1
_SILENT_SECONDS = 1.0  # in which process 0 may be a little later than another


def meet(process: Process) -> Store:
    """Wait until all processes of the run are there; the store that they share.

    PyTorch's own wait says nothing, lasts half an hour and is deaf to signals.

    Raises:
        UsageError: if they did not come in time, or the place cannot be used.
    """
    began = time.monotonic()
    try:
        if process.rank > 0:
            _wait_for_first(process, began)
        store = PrefixStore(_name_of_meeting(), _open(process))
        _wait_for_all(process, store, began)
        return store
    except (RuntimeError, ValueError) as error:
        if isinstance(error, FdslError):
            raise
        reason = str(error).splitlines()[0]
        raise _alone(
            f"process {process.rank} of {process.world_size} cannot meet the others at"
            f" {process.address}:{process.port}: {reason}"
        ) from None


def _name_of_meeting() -> str:
    """A name that all processes give to this meeting and to no other.

    The store of torchrun outlives a run: a script may do several, and torchrun may start all of its
    processes anew.
    """
    return f"fdsl/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}/{next(_meetings)}"


def _wait_for_first(process: Process, began: float) -> None:
    """Wait until process 0 can be reached."""
    told = False
    while not _is_open(process.address, process.port):
        waited = time.monotonic() - began
        if waited > process.timeout:
            raise _gave_up(process, "process 0 cannot be reached")
        if waited > _SILENT_SECONDS and not told:
            told = True
            logger.warning(
                f"waiting for process 0 of {process.world_size} at"
                f" {process.address}:{process.port} (this is process {process.rank})"
            )
        time.sleep(_POLL_SECONDS)


def _is_open(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=2.0):
            return True
    except OSError:
        return False


def _open(process: Process) -> Store:
    # The agent of torchrun has opened a store at that place already.
    hosts = process.rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    return TCPStore(
        "127.0.0.1" if hosts else process.address,
        process.port,
        process.world_size,
        is_master=hosts,
        timeout=timedelta(seconds=process.timeout),
        wait_for_workers=False,
    )


def _wait_for_all(process: Process, store: Store, began: float) -> None:
    told = process.rank > 0  # process 0 speaks for those that have met it
    here = store.add(_ARRIVED, 1)
    while here < process.world_size:
        missing = f"{process.world_size - here} of {process.world_size} processes"
        if time.monotonic() - began > process.timeout:
            raise _gave_up(process, f"{missing} did not come")
        if not told:
            told = True
            logger.warning(f"waiting for {missing} at {process.address}:{process.port}")
        time.sleep(_POLL_SECONDS)
        here = store.add(_ARRIVED, 0)


def _gave_up(process: Process, what: str) -> UsageError:
    believed = ", ".join(process.believed)
    return _alone(
        f"gave up at {process.address}:{process.port} after {process.timeout} s: {what}; this"
        f" process believed {believed}: start the others, or unset these variables to train with"
        f" one process ({TIMEOUT} sets the seconds to wait)"
    )


def _alone(sentence: str) -> UsageError:
    error = UsageError(sentence)
    error.all_ranks = False  # others may be elsewhere, or not there at all
    return error
