"""Executors: ways to call one function for many tasks. They know nothing of datasets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")

# function(task, report): report(n) says that n more items of the task are done
Function = Callable[[T, Callable[[int], None]], Any]


@dataclass(frozen=True, slots=True)
class Failure(Generic[T]):
    """A task that was not done, and why, in one sentence."""

    task: T
    reason: str


class Observer(Protocol):
    """Somebody who watches a run."""

    def begin(self, *, images: int, done: int) -> None:
        """``images`` are to be made now; ``done`` were there before."""
        ...

    def images(self, count: int) -> None:
        """``count`` more (or, after a worker died, fewer) images are made."""
        ...

    def note(self, text: str) -> None:
        """Something worth telling happened."""
        ...


class Silent:
    """An observer that tells nobody."""

    def begin(self, *, images: int, done: int) -> None:
        pass

    def images(self, count: int) -> None:
        pass

    def note(self, text: str) -> None:
        pass


def nothing() -> None:
    """Nothing to prepare."""


class Executor(Protocol):
    """A way to run tasks."""

    def run(
        self,
        function: Function[T],
        tasks: Sequence[T],
        watch: Observer,
        prepare: Callable[[], None] = nothing,
    ) -> list[Failure[T]]:
        """Call ``function`` once for every task; returns those that could not be done.

        ``prepare`` is called in this process before any task is begun, while workers start.
        """
        ...


NOT_STARTED = "not started after the failure before"
