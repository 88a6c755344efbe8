"""Ending a run early: between two steps, and with a checkpoint."""

import signal
from typing import NoReturn

from fdsl_gen.core import signals
from fdsl_gen.core.errors import Stopped


def obey(request: signals.Request, step: int) -> NoReturn:
    """End the process, after the checkpoint of ``step``.

    Raises:
        KeyboardInterrupt: if the user interrupted the run.
        Stopped: for any other signal; also where it came to another process of the run.
    """
    signals.over()
    if request.signal is signal.SIGINT:
        raise KeyboardInterrupt
    by = request.signal.name if request.signal is not None else "a signal to another process"
    raise Stopped(f"stopped by {by} after step {step}; --resume auto continues from there")
