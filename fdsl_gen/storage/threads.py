"""Several requests at a time. Their threads never keep a process that is told to end."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

SMALL_REQUESTS = 16  # that are made at a time

T = TypeVar("T")
R = TypeVar("R")


def map_threads(function: Callable[[T], R], items: Iterable[T], jobs: int) -> Iterator[tuple[T, R]]:
    """Call ``function`` for every item in ``jobs`` threads; items with results as they are ready.

    Raises:
        Exception: the first that a call raised; no further call is begun.
    """
    waiting = iter(items)
    taking = threading.Lock()
    stopped = threading.Event()
    results: queue.SimpleQueue[tuple[T, R] | BaseException | None] = queue.SimpleQueue()

    def work() -> None:
        try:
            while not stopped.is_set():
                with taking:
                    item = next(waiting)
                results.put((item, function(item)))
        except StopIteration:
            pass
        except BaseException as error:
            results.put(error)
        finally:
            results.put(None)

    for _ in range(jobs):
        threading.Thread(target=work, daemon=True).start()
    try:
        while jobs:
            result = results.get()
            if result is None:
                jobs -= 1
            elif isinstance(result, BaseException):
                raise result
            else:
                yield result
    finally:
        stopped.set()
