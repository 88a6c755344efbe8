"""Signals that end a run early, but between two steps and with a checkpoint.

Schedulers announce the end of the allotted time by a signal: SLURM by what ``--signal`` names,
often USR1, or by TERM; SGE by USR1 and USR2; a limit of CPU time by XCPU.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from fdsl_gen.core.errors import Stopped

_WALLTIME = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)
_ALL = (*_WALLTIME, signal.SIGINT)


class Request:
    """Whether, and by which signal, the run was asked to stop."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    @property
    def made(self) -> bool:
        """Whether a signal came."""
        return self.signal is not None

    def obey(self, step: int) -> NoReturn:
        """End the process, after the checkpoint of ``step``.

        Raises:
            KeyboardInterrupt: if the user interrupted the run.
            Stopped: for any other signal; also where it came to another process of the run.
        """
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        by = self.signal.name if self.signal is not None else "a signal to another process"
        raise Stopped(f"stopped by {by} after step {step}; --resume auto continues from there")


@contextmanager
def between_steps() -> Iterator[Request]:
    """Note the first signal instead of dying of it; a second one ends the process at once."""
    request = Request()
    before = {number: signal.getsignal(number) for number in _ALL}

    def note(number: int, frame: object) -> None:
        request.signal = signal.Signals(number)
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in _ALL:
        signal.signal(number, note)
    try:
        yield request
    finally:
        restore()


def stop_at_once(number: int, frame: object) -> NoReturn:
    """A handler for the time before the first step: there is nothing to save."""
    raise Stopped(f"stopped by {signal.Signals(number).name}; --resume auto continues the run")


def install() -> None:
    """End the process with a sentence and exit code 75 when the time is over."""
    for number in _WALLTIME:
        signal.signal(number, stop_at_once)


def ignore(_: int = 0) -> None:
    """In a loader process: the process that started it decides when to end."""
    for number in _ALL:
        signal.signal(number, signal.SIG_IGN)
