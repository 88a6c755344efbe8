"""Locks between processes of one machine: files that the system unlocks when their holder dies."""

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from fdsl_gen.core.errors import FdslError

LOCK_SECONDS = 600.0  # longer than any of the work that is done under a lock
_POLL_SECONDS = 0.05


class StillLocked(FdslError):
    """Another process held a lock for longer than anybody waits."""


@contextlib.contextmanager
def locked(
    path: Path, seconds: float = LOCK_SECONDS, *, progress: Callable[[], object] = bool
) -> Iterator[BinaryIO]:
    """Hold the lock that ``path`` stands for; the file is open for reading and appending.

    Args:
        path: made if it is missing. Its content does not matter.
        seconds: how long to wait for another process. 0: not at all.
        progress: anything that changes while the holder is at work; the wait begins anew then.

    Raises:
        StillLocked: if another process held it all the time.
        OSError: if the file cannot be opened.
    """
    with path.open("a+b") as file:
        end, seen = time.monotonic() + seconds, progress()
        # Not a blocking call, which would have no limit and keep signals from being handled.
        while not _try_lock(file):
            if (now := progress()) != seen:
                end, seen = time.monotonic() + seconds, now
            if time.monotonic() >= end:
                raise StillLocked(
                    f"waited {seconds:.0f} s for another process that holds the lock {path}; end"
                    " that process, or run this again later"
                )
            time.sleep(_POLL_SECONDS)
        yield file


def _try_lock(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
