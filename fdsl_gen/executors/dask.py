"""Dask: worker processes on any number of hosts, or, without a scheduler, on this one.

**Where a shard is rendered.** In the worker process itself, in its task thread. Kernels are
compiled with the GIL released and deflate releases it, too, so the thread that answers the
scheduler gets its turn all the time; the longest it waits is the compilation of a kernel, seconds
where the scheduler's patience (``worker-ttl``) is five minutes. A process for every shard would
cost a second of start for some seconds of work. What stands between kernels is Python, so a host
is used best by workers of one thread (``dask worker --nworkers N --nthreads 1``); more threads draw
the same pixels.

**What is sent.** A function of this package, a task and the version of fdsl: about a kilobyte, and
never more tasks than there are threads, so that nothing waits on a worker, and a worker that dies
costs, and is held against, only what it was rendering. What comes back is a count or a sentence.

**What goes wrong.** The scheduler gives the task of a dead worker to another one, up to
``distributed.scheduler.allowed-failures`` (3) times; exceptions are final. Stopping cancels what is
not begun; a worker of a standing cluster finishes the shard that it is rendering, which is as good
as any other. Losing the scheduler ends the run.
"""

import asyncio
import concurrent.futures
import contextlib
import queue
import socket
import textwrap
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import fdsl_gen
from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.extras import missing
from fdsl_gen.executors import NOT_STARTED, Failure, Function, Observer, nothing
from fdsl_gen.executors.outcome import explain

try:
    import distributed

    from fdsl_gen.executors import cluster
except ImportError:
    raise missing("dask", "--executor dask") from None

T = TypeVar("T")

NO_WORKER_SECONDS = 300.0  # after the last worker went, before a run ends
_LOOK_SECONDS = 1.0
# How calls end when there is no connection any more.
_GONE = (OSError, asyncio.CancelledError, concurrent.futures.CancelledError)


class _Answer(NamedTuple):
    """What a worker sends back.

    Attributes:
        kind: done; failed, others may succeed; hopeless, others would fail alike; refused, the run
            cannot go on like this.
        images: made.
        reason: of what is not done.
    """

    kind: Literal["done", "failed", "hopeless", "refused"]
    images: int = 0
    reason: str = ""


def _answer(version: str, function: Function[Any], task: Any) -> _Answer:
    """A task on a worker. No exception leaves it, so no traceback travels."""
    if fdsl_gen.__version__ != version:
        who = f"the worker on {socket.gethostname()}"
        reason = cluster.mismatch(who, "fdsl", fdsl_gen.__version__, version)
        return _Answer("refused", reason=reason)
    made = 0

    def report(count: int) -> None:
        nonlocal made
        made += count

    try:
        function(task, report)
    except UsageError as error:
        return _Answer("refused", reason=str(error))
    except Exception as error:
        reason, hopeless = explain(error)
        return _Answer("hopeless" if hopeless else "failed", reason=reason)
    return _Answer("done", made)


class _Lost(Exception):
    """There is nobody left to send tasks to."""


@dataclass
class _Run(Generic[T]):
    """The state of one run; tasks by their number."""

    client: distributed.Client
    function: Function[T]
    tasks: Sequence[T]
    watch: Observer
    waiting: deque[int]
    begun: dict[int, distributed.Future] = field(default_factory=dict)
    ended: "queue.SimpleQueue[int]" = field(default_factory=queue.SimpleQueue)
    failures: list[Failure[T]] = field(default_factory=list)
    workers: dict[str, int] = field(default_factory=dict)  # address: threads
    looked_at: float | None = None
    worked_at: float | None = None  # when there was a worker
    prefix: str = field(default_factory=lambda: f"fdsl-{uuid.uuid4().hex}")

    def go(self) -> list[Failure[T]]:
        """Run all tasks."""
        try:
            while self.waiting or self.begun:
                self.look()
                self.assign()
                with contextlib.suppress(queue.Empty):
                    self.on_message(self.ended.get(timeout=_LOOK_SECONDS))
        except _Lost as lost:
            for number in (*self.begun, *self.waiting):
                self.failures.append(Failure(self.tasks[number], str(lost)))
        return self.failures

    def look(self) -> None:
        """See which workers there are, at most once a second."""
        now = time.monotonic()
        if self.looked_at is not None and now - self.looked_at < _LOOK_SECONDS:
            return
        try:
            workers: dict[str, int] = self.client.nthreads()
        except _GONE:
            raise _Lost("the Dask scheduler is gone") from None
        for address in self.workers.keys() - workers.keys():
            self.watch.note(f"the worker {address} is gone; its shard goes to another one")
        if not workers and (self.workers or self.looked_at is None):
            self.watch.note("the Dask scheduler has no workers; waiting for one to join")
        if workers:
            self.worked_at = now
        elif self.worked_at is not None and now - self.worked_at > NO_WORKER_SECONDS:
            raise _Lost(f"the Dask scheduler has had no worker for {NO_WORKER_SECONDS:.0f} s")
        self.workers, self.looked_at = workers, now

    def assign(self) -> None:
        """Begin as many tasks as there are threads without one."""
        while self.waiting and len(self.begun) < sum(self.workers.values()):
            number = self.waiting.popleft()
            key = f"{self.prefix}-{number}"
            task = (fdsl_gen.__version__, self.function, self.tasks[number])
            future = self.client.submit(_answer, *task, key=key, pure=False)
            self.begun[number] = future
            future.add_done_callback(partial(self.end, number))

    def end(self, number: int, future: distributed.Future) -> None:
        """Told by the client, in a thread of its own."""
        self.ended.put(number)

    def on_message(self, number: int) -> None:
        """Take the answer to a task that has ended."""
        answer = _answer_to(self.begun[number])
        if answer.kind == "refused":
            raise UsageError(answer.reason)
        del self.begun[number]
        self.watch.images(answer.images)
        if answer.kind != "done":
            self.failures.append(Failure(self.tasks[number], answer.reason))
        if answer.kind == "hopeless":
            self.failures += [Failure(self.tasks[n], NOT_STARTED) for n in self.waiting]
            self.waiting.clear()


def _answer_to(future: distributed.Future) -> _Answer:
    try:
        answer: _Answer = future.result()
    except distributed.KilledWorker as error:
        return _Answer("failed", reason=f"its worker died, {error.allowed_failures + 1} times")
    except _GONE:
        raise _Lost("the Dask scheduler is gone") from None
    except Exception as error:  # none of the task's, which stay on the worker
        why = textwrap.shorten(str(error), 100)
        return _Answer(
            "refused",
            reason=f"a host of the Dask cluster cannot run tasks of fdsl-gen ({why});"
            f" install fdsl {fdsl_gen.__version__} on all of them",
        )
    return answer


class DaskExecutor:
    """Workers of a Dask scheduler.

    Args:
        scheduler: its address, as ``tcp://host:8786``.
        scheduler_file: instead, the file that the scheduler writes its address to. Waited for as
            long as Dask waits for connections (``distributed.comm.timeouts.connect``).
        workers: if neither is given, how many processes to start on this machine.

    Raises:
        UsageError: if Dask is not installed or this is no address; from ``run``: if the scheduler
            cannot be reached, or the cluster runs other versions of Dask or fdsl.
    """

    def __init__(
        self,
        *,
        scheduler: str | None = None,
        scheduler_file: Path | None = None,
        workers: int = 1,
    ) -> None:
        if scheduler is not None:
            cluster.check_address(scheduler)
        self._scheduler = scheduler
        self._scheduler_file = scheduler_file
        self._workers = workers

    def run(
        self,
        function: Function[T],
        tasks: Sequence[T],
        watch: Observer,
        prepare: Callable[[], None] = nothing,
    ) -> list[Failure[T]]:
        if not tasks:
            return []
        with (
            cluster.quiet(),
            self._address(len(tasks)) as address,
            cluster.connected(address) as client,
        ):
            prepare()
            return _Run(client, function, tasks, watch, deque(range(len(tasks)))).go()

    @contextlib.contextmanager
    def _address(self, tasks: int) -> Iterator[str]:
        if self._scheduler_file is not None:
            yield cluster.address_in(self._scheduler_file)
        elif self._scheduler is not None:
            yield self._scheduler
        else:
            with cluster.local_cluster(min(self._workers, tasks)) as address:
                yield address
