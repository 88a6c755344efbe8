"""A plain loop in this process."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from fdsl_gen.executors import NOT_STARTED, Failure, Function, Observer, nothing
from fdsl_gen.executors.outcome import explain

T = TypeVar("T")


class SerialExecutor:
    """One task after another."""

    def run(
        self,
        function: Function[T],
        tasks: Sequence[T],
        watch: Observer,
        prepare: Callable[[], None] = nothing,
    ) -> list[Failure[T]]:
        prepare()
        failures = []
        for number, task in enumerate(tasks):
            try:
                function(task, watch.images)
            except Exception as error:
                reason, hopeless = explain(error)
                failures.append(Failure(task, reason))
                if hopeless:
                    return failures + [Failure(t, NOT_STARTED) for t in tasks[number + 1 :]]
        return failures
