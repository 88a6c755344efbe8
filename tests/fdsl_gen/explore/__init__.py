"""Tests of the page that draws while settings are turned."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator

from tests import ROOT


@contextlib.contextmanager
def running() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server as the command starts it, and the address that it prints.

    Ctrl-C must end it, if it did not end before.
    """
    command = [sys.executable, "-m", "fdsl_gen.cli", "explore", "linedb-16", "--no-browser"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
        finally:
            process.kill()
