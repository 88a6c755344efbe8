"""Worker processes on this machine under a supervisor that survives the death of any of them.

Every worker has a pipe of its own and one task at a time, so a killed worker costs its own task
alone, which is given out again. Workers are spawned, not forked. A worker whose parent is gone ends
itself.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import multiprocess
from multiprocess import connection, resource_tracker

from fdsl_gen.core import signals
from fdsl_gen.executors import NOT_STARTED, Failure, Function, Observer, nothing
from fdsl_gen.executors.outcome import explain

T = TypeVar("T")

MAX_DEATHS = 3  # workers that a task may cost before it is given up
_REPORT_SECONDS = 0.2
_STOP = None
_TO_ALL = tuple(number for number in signals.ALL if number != signal.SIGTERM)


def _end_with_parent() -> None:
    """End this process as soon as its parent is gone, however that happened."""

    def wait() -> None:
        multiprocess.process.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _work(pipe: Any, function: Function[Any]) -> None:
    """A worker's life: receive a task, send ("images", n) while at it, then "done" or "failed"."""
    signals.ignore()  # the supervisor decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _end_with_parent()
    unsent = 0
    sent_at = time.monotonic()
    pipe.send(("ready", None))

    def report(count: int) -> None:
        nonlocal unsent, sent_at
        unsent += count
        if time.monotonic() - sent_at > _REPORT_SECONDS:
            pipe.send(("images", unsent))
            unsent, sent_at = 0, time.monotonic()

    while (task := pipe.recv()) is not _STOP:
        try:
            function(task, report)
        except Exception as error:
            pipe.send(("failed", explain(error)))
        else:
            pipe.send(("images", unsent))
            pipe.send(("done", None))
        unsent = 0


@contextlib.contextmanager
def without_main() -> Iterator[None]:
    """Keep new processes from running the caller's script again.

    Tasks are functions of this package, so workers have no use for it; a script or notebook that
    calls ``generate`` needs no guard.
    """
    main = sys.modules["__main__"]
    hidden = {name: main.__dict__.pop(name) for name in ("__file__",) if name in main.__dict__}
    spec, main.__spec__ = main.__spec__, None
    try:
        yield
    finally:
        main.__dict__.update(hidden)
        main.__spec__ = spec


@dataclass(slots=True)
class _Worker:
    process: Any
    pipe: Any
    ready: bool = False
    number: int | None = None  # of the task in hand
    images: int = 0  # reported of it


@dataclass
class _Run(Generic[T]):
    """The state of one run."""

    function: Function[T]
    tasks: Sequence[T]
    watch: Observer
    queue: deque[int]
    workers: list[_Worker] = field(default_factory=list)
    deaths: dict[int, int] = field(default_factory=dict)
    failures: list[Failure[T]] = field(default_factory=list)
    false_starts: int = 0  # workers that died before they were ready, one after another

    def start_worker(self) -> None:
        context = multiprocess.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, self.function), daemon=True)
        resource_tracker.ensure_running()  # at its start it lets SIGINT through again
        with signals.shielded(_TO_ALL), without_main():
            process.start()
            theirs.close()
            self.workers.append(_Worker(process, ours))

    def assign(self, worker: _Worker) -> None:
        """Give a worker its next task, or send it home."""
        worker.images = 0
        worker.number = self.queue.popleft() if self.queue else None
        task = _STOP if worker.number is None else self.tasks[worker.number]
        # If it died just now, its end of the pipe says so at the next look.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            worker.pipe.send(task)

    def on_message(self, worker: _Worker) -> None:
        """Take one message from a worker, or notice that it is gone."""
        try:
            kind, value = worker.pipe.recv()
        except (EOFError, ConnectionResetError):
            self.replace_worker(worker)
            return
        if kind == "ready":
            worker.ready = True
            self.false_starts = 0
        if kind == "images":
            worker.images += value
            self.watch.images(value)
            return
        if kind == "failed" and worker.number is not None:
            reason, hopeless = value
            self.watch.images(-worker.images)
            self.failures.append(Failure(self.tasks[worker.number], reason))
            if hopeless:
                self.cancel_rest(NOT_STARTED)
        self.assign(worker)

    def cancel_rest(self, reason: str) -> None:
        """Begin no further task."""
        self.failures += [Failure(self.tasks[n], reason) for n in self.queue]
        self.queue.clear()

    def replace_worker(self, worker: _Worker) -> None:
        """Replace a dead worker and give its task out again, unless it has cost too many."""
        worker.process.join()
        worker.pipe.close()
        self.workers.remove(worker)
        number = worker.number
        how = _cause(worker.process.exitcode)
        if not worker.ready:
            self.false_starts += 1
            if self.false_starts >= MAX_DEATHS:
                self.cancel_rest(f"its worker {how} before it could begin")
        if number is None:
            if self.queue and not worker.ready:
                self.start_worker()
            return
        self.watch.images(-worker.images)
        self.deaths[number] = self.deaths.get(number, 0) + 1
        if self.deaths[number] < MAX_DEATHS:
            self.watch.note(f"a worker {how}; its shard is rendered again")
            self.queue.appendleft(number)
        else:
            reason = f"its worker {how}, {MAX_DEATHS} times in a row"
            self.failures.append(Failure(self.tasks[number], reason))
        if self.queue:
            self.start_worker()

    def end(self) -> None:
        """Stop all workers now."""
        for worker in self.workers:
            worker.process.kill()
        for worker in self.workers:
            worker.process.join()
            worker.pipe.close()


def _cause(exitcode: int) -> str:
    if exitcode < 0:
        name = signal.Signals(-exitcode).name
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return f"was killed by {name}{hint}"
    return f"ended with exit code {exitcode}"


class LocalExecutor:
    """``count`` spawned processes."""

    def __init__(self, count: int) -> None:
        self._count = count

    def run(
        self,
        function: Function[T],
        tasks: Sequence[T],
        watch: Observer,
        prepare: Callable[[], None] = nothing,
    ) -> list[Failure[T]]:
        run = _Run(function, tasks, watch, deque(range(len(tasks))))
        try:
            for _ in range(min(self._count, len(tasks))):
                run.start_worker()
            prepare()
            while run.workers:
                ready = connection.wait([worker.pipe for worker in run.workers])
                for worker in [w for w in run.workers if w.pipe in ready]:
                    run.on_message(worker)
        finally:
            run.end()
        return run.failures
