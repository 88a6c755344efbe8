"""Functions that executor tests send to worker processes."""

import errno
import os
import signal

from fdsl_gen.core.errors import UsageError


def touch_or_die(task, report):
    folder, number = task
    if number == 3:
        with (folder / "died 3").open("a") as file:
            file.write("x")
        os.kill(os.getpid(), signal.SIGKILL)
    (folder / str(number)).touch()
    report(1)


def divide(task, report):
    report(1)
    return 1 / task


def refuse_to_work(task, report):
    raise UsageError("the folder is not here")


def fill_the_disk(task, report):
    raise OSError(errno.ENOSPC, "disk full")


def refuse():
    raise RuntimeError("this cannot be received")


class CannotBeReceived:
    """A task function that breaks the process that receives it."""

    def __reduce__(self):
        return refuse, ()

    def __call__(self, task, report):
        pass
