"""Signals that end a command: one sentence, the right exit code, at any moment.

Users interrupt (INT). Schedulers announce the end of the allotted time: SLURM by what ``--signal``
names, often USR1, or by TERM; Grid Engine by USR1 and USR2; a limit of CPU time by XCPU; a terminal
that closes by HUP.

A handler that simply raises is not enough. Python calls it between any two instructions of the main
thread: in a callback from C (LLVM while it compiles, a finalizer) the exception is lost or breaks
the library, and during a long call into C it is not called at all. So the handler raises only where
that is safe. A thread that the signal wakes (``signal.set_wakeup_fd``) asks again until the
exception is seen to be handled, and ends the process itself if the main thread does not answer.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any, NoReturn

from fdsl_gen.core.errors import Exit, Stopped

WALLTIME = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)
ALL = (signal.SIGINT, *WALLTIME)

_AGAIN = signal.SIGURG  # ignored by default, so a late one harms nobody
_AGAIN_SECONDS = 0.1
_PATIENCE = 1.5  # seconds for the main thread to answer
_CLEANING = 30.0  # seconds for it to finish what it was seen to be doing after that
_INSIST_SECONDS = 1.0  # an interrupt that comes later than this after the first is meant
_CALLED_FROM_C = {"ctypes", "llvmlite", "numba"}


class Request:
    """Whether, and by which signal, a command was asked to stop at its next good moment."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    @property
    def made(self) -> bool:
        """Whether a signal came."""
        return self.signal is not None


class Interrupted(KeyboardInterrupt):
    """An interrupt that Python does not take for one that nobody handled.

    It notes a KeyboardInterrupt, of that very type, that leaves code which was given as text: the
    methods of dataclasses and named tuples are made of such. A process started by ``python -m``
    then dies of the signal at its end, whoever handled the exception.
    """


class _Watch:
    """What a process does about signals between :meth:`begin` and :meth:`end`.

    Args:
        name: of the command, for the sentence of a process that has to be ended.
        hint: what to do next, for the same.
    """

    def __init__(self, name: str, hint: str) -> None:
        self._name = name
        self._hint = hint
        self._signal: signal.Signals | None = None
        self._heard_at = 0.0
        self._cleaning_at: float | None = None
        self._error: BaseException | None = None
        self._request: Request | None = None
        self._over = False
        self._held = 0
        self._raised = False
        self._before: dict[signal.Signals, Any] = {}
        self._main = threading.get_ident()

    def begin(self) -> None:
        """Handle all signals, except those that whoever started this process wants ignored."""
        self._pipe = os.pipe()
        for end in self._pipe:
            os.set_blocking(end, False)
        os.set_blocking(self._pipe[0], True)
        self._wakeup = signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
        self._unraisable = sys.unraisablehook
        sys.unraisablehook = self._lost
        self._thread = threading.Thread(target=self._watch, name="signals", daemon=True)
        self._thread.start()
        for number in ALL:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._hear)
        self._before[_AGAIN] = signal.signal(_AGAIN, self._ask_again)

    def end(self) -> None:
        """Handle signals as before."""
        self._over = True
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        sys.unraisablehook = self._unraisable
        os.write(self._pipe[1], b"\0")
        self._thread.join()
        for end in self._pipe:
            os.close(end)

    def over(self) -> None:
        """The exit code is known: a signal must not change it any more."""
        self._over = True

    def hold(self, change: int) -> None:
        """Raise nothing while this was called with 1 more often than with -1."""
        self._held += change

    @contextlib.contextmanager
    def noted(self) -> Iterator[Request]:
        """Note the first signal instead of raising; a later one is obeyed at once."""
        self._request = Request()
        try:
            yield self._request
        finally:
            self._request = self._signal = None

    def _hear(self, number: int, frame: FrameType | None) -> None:
        first, now = self._signal is None, time.monotonic()
        insisted = number == signal.SIGINT and now - self._heard_at > _INSIST_SECONDS
        if first:
            self._signal, self._heard_at = signal.Signals(number), now
            self._error = self._as_error()
        if self._request is not None:
            if first:
                self._request.signal = self._signal
                return
            if now - self._heard_at <= _INSIST_SECONDS:
                return  # the same event, told by terminal and launcher
            self._request = None
            self._heard_at = now
        elif insisted and not first:
            self._end_now()
        self._raise(frame)

    def _ask_again(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None and self._request is None:
            self._raise(frame)

    def _raise(self, frame: FrameType | None) -> None:
        assert self._error is not None
        if self._over or self._held:
            return
        if self._is_handled():
            self._cleaning_at = time.monotonic()
        elif not _is_called_from_c(frame):
            self._raised = True
            raise self._error

    def _is_handled(self) -> bool:
        """Whether the exception is on its way up already."""
        error = sys.exception()
        while error is not None and error is not self._error:
            error = error.__context__
        return error is not None

    def _as_error(self) -> BaseException:
        assert self._signal is not None
        if self._signal is signal.SIGINT:
            return Interrupted()
        return Stopped(f"stopped by {self._signal.name}; {self._hint}")

    def _lost(self, found: "sys.UnraisableHookArgs") -> None:
        """Do not print our own exception where Python could not raise it; it is raised again."""
        if found.exc_value is None or found.exc_value is not self._error:
            self._unraisable(found)

    def _watch(self) -> None:
        """The thread."""
        while 0 not in (numbers := os.read(self._pipe[0], 64)):
            sent = [signal.Signals(number) for number in numbers if number in ALL]
            since = time.monotonic()
            while sent and self._request is None and not self._over:
                signal.pthread_kill(self._main, _AGAIN)
                time.sleep(_AGAIN_SECONDS)
                if self._is_stuck(since):
                    if self._signal is None:  # not even the handler was called
                        self._signal = sent[0]
                    self._end_now()

    def _is_stuck(self, since: float) -> bool:
        now = time.monotonic()
        if self._cleaning_at is not None:
            return now - self._cleaning_at > _CLEANING
        return now - since > _PATIENCE

    @property
    def is_untold(self) -> bool:
        """Whether a signal ended the command, and nobody has told the user."""
        return self._raised and not self._over

    def tell(self) -> Exit:
        """Say which signal ended the command; its exit code."""
        assert self._signal is not None
        if self._signal is signal.SIGINT:
            sentence, code = f"interrupted; {self._hint}", Exit.INTERRUPTED
        else:
            sentence, code = str(self._as_error()), Exit.WALLTIME
        os.write(2, f"{self._name}: {sentence}\n".encode())
        return code

    def _end_now(self) -> NoReturn:
        """End the process without the help of its main thread."""
        for package in ("multiprocess", "multiprocessing"):
            if package in sys.modules:
                for child in sys.modules[package].active_children():
                    child.kill()
        os._exit(self.tell())


def _is_called_from_c(frame: FrameType | None) -> bool:
    """Whether an exception at a frame would run into code in C that does not expect it."""
    while frame is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        name = frame.f_code.co_qualname
        if package in _CALLED_FROM_C or name.startswith("ExtensionFileLoader."):
            return True
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


_watch: _Watch | None = None


@contextlib.contextmanager
def handled(name: str, hint: str) -> Iterator[None]:
    """While this context lasts, a signal raises KeyboardInterrupt (INT) or ``Stopped`` (others).

    Inside another such context, and in other threads than the main one, it does nothing.

    Args:
        name: of the command.
        hint: what to do next; goes into the sentence of ``Stopped``.
    """
    global _watch
    if _watch is not None or threading.current_thread() is not threading.main_thread():
        yield
        return
    _watch = watch = _Watch(name, hint)
    try:
        watch.begin()
        yield
    finally:
        watch.end()
        _watch = None


def run(name: str, hint: str, load: Callable[[], Callable[[], object]]) -> None:
    """Be the process of a command: signals are handled while it is imported and until the end.

    Args:
        name, hint: as of :func:`handled`.
        load: imports the command, and returns the function that runs it and raises SystemExit.
    """
    global _watch
    _watch = watch = _Watch(name, hint)
    try:
        watch.begin()
        load()()
    except BaseException:
        untold = watch.is_untold
        watch.over()
        ignore()
        if untold:
            sys.exit(watch.tell())
        raise


def over() -> None:
    """The exit code of the command is known; further signals change nothing."""
    if _watch is not None:
        _watch.over()


def noted() -> contextlib.AbstractContextManager[Request]:
    """While the context lasts, the first signal is only noted; a later one is obeyed at once."""
    return contextlib.nullcontext(Request()) if _watch is None else _watch.noted()


def ignore() -> None:
    """In a worker process: the process that started it decides when to end."""
    for number in ALL:
        signal.signal(number, signal.SIG_IGN)
    signal.set_wakeup_fd(-1)


@contextlib.contextmanager
def shielded(blocked: Iterable[signal.Signals] = ALL) -> Iterator[None]:
    """Processes that are started in this context begin with signals blocked.

    A signal to the whole group would otherwise end them with a traceback before they can decide
    to ignore it. In this process nothing is raised before the end of the context, so that no
    process is lost between its start and its entry in a list.

    Args:
        blocked: which signals.
    """
    watch = _watch
    before = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    if watch is not None:
        watch.hold(1)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if watch is not None:
            watch.hold(-1)
