"""Lines of the log on their way to trackers, in a thread that no step waits for.

A line is sent once a checkpoint that covers it is on the disk: until then a run that is killed
takes its steps anew, and a tracker would hold them twice. Which trackers know the run under which
identifier, and up to which step, stands in ``trackers.json`` beside it. A tracker that fails is
left out of the rest of the run, with one warning.
"""

import contextlib
import functools
import importlib
import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from fdsl_gen.core.errors import FdslError, visible
from fdsl_gen.core.json_text import parse_json, read_bounded
from fdsl_gen.storage import local
from fdsl_train.training.trackers import SINKS, Identity, Line, Sink

logger = logging.getLogger(__name__)

RECORD = "trackers.json"
_PATIENCE = 60.0  # seconds at the end of a run


class Tracking:
    """Sends lines to trackers.

    Args:
        names: of trackers.
        run: what they are told of it.
        step: of the checkpoint that the run goes on from; 0 if it begins.
        lines: all that was logged until then; what a tracker has is not sent again.
    """

    def __init__(self, names: Iterable[str], run: Identity, step: int, lines: list[Line]) -> None:
        self._run = run
        self._step = step
        self._covered: queue.SimpleQueue[list[Line] | None] = queue.SimpleQueue()
        self._covered.put(lines)
        self._waiting: dict[int, dict[str, float]] = {}
        self._finished = False
        self._sent: dict[str, int] = {}
        self._record = _read(run)
        wanted = [name for name in dict.fromkeys(names) if self._can_import(name)]
        self._thread = threading.Thread(
            target=self._serve, args=(wanted,), name="trackers", daemon=True
        )
        self._thread.start()

    def _can_import(self, name: str) -> bool:
        """Import in the main thread: loader processes are forked while the other one works."""
        try:
            importlib.import_module(name)
        except Exception as error:  # an installation that is broken
            _warn(name, error)
            return False
        return True

    def add(self, step: int, values: dict[str, float]) -> None:
        """A line, or more of the same step's, that no checkpoint covers yet."""
        self._waiting.setdefault(step, {}).update(values)

    def covered(self) -> Callable[[], None]:
        """To be called, by any thread, once a checkpoint of this moment is on the disk."""
        lines = [Line(step, values) for step, values in self._waiting.items()]
        self._waiting = {}
        return functools.partial(self._covered.put, lines)

    def close(self, *, finished: bool) -> None:
        """Wait a minute at most until all lines are sent.

        Args:
            finished: whether this was the last step of the run.
        """
        self._finished = finished
        self._covered.put(None)
        self._thread.join(_PATIENCE)
        if self._thread.is_alive():
            logger.warning(
                f"a tracker has not taken all lines within {_PATIENCE:.0f} seconds; they stand in"
                " metrics.jsonl"
            )

    def _serve(self, names: list[str]) -> None:
        sinks: dict[str, Sink] = {}
        for name in names:
            with _left_out_if_it_fails(name, sinks):
                sinks[name] = self._open(name)
        while (lines := self._covered.get()) is not None:
            for name, sink in list(sinks.items()):
                with _left_out_if_it_fails(name, sinks):
                    self._send(name, sink, lines)
        for name, sink in list(sinks.items()):
            with _left_out_if_it_fails(name, sinks):
                sink.close(finished=self._finished)

    def _open(self, name: str) -> Sink:
        """The run in a tracker: that of the record, unless it holds what is not to be had.

        It is ahead of the checkpoint where the run was begun anew, or another checkpoint put in
        place. And where a kill came between lines and a tracker that cannot say what it has, no
        one knows whether they are there.
        """
        known = self._record.get(name)
        if known is not None and known["sent"] <= self._step:
            sink = SINKS[name](self._run, known["run"])
            self._sent[name] = known["sent"] if sink.held is None else sink.held
            sure = sink.held is not None or not known["unsettled"]
            if sure and self._sent[name] <= self._step:
                logger.info(f"{name}: run {sink.key} goes on")
                return sink
            sink.close(finished=False)
        sink = SINKS[name](self._run, None)
        self._sent[name] = 0
        self._note(name, sink)
        logger.info(f"{name}: run {sink.key}")
        return sink

    def _send(self, name: str, sink: Sink, lines: list[Line]) -> None:
        fresh = [line for line in lines if line.step > self._sent[name]]
        if not fresh:
            return
        says = sink.held is not None
        if not says:
            self._note(name, sink, unsettled=True)
        sink.send(fresh)
        if not says:
            time.sleep(sink.settles)
        self._sent[name] = fresh[-1].step
        self._note(name, sink)

    def _note(self, name: str, sink: Sink, *, unsettled: bool = False) -> None:
        sent = self._sent[name]
        self._record[name] = {"run": sink.key, "sent": sent, "unsettled": unsettled}
        folder = self._run.folder
        if folder.is_dir():  # else it was deleted, which the log will tell
            local.write(folder / RECORD, json.dumps(self._record, indent=1).encode())


@contextlib.contextmanager
def _left_out_if_it_fails(name: str, sinks: dict[str, Sink]) -> Iterator[None]:
    try:
        yield
    except (Exception, SystemExit) as error:
        sinks.pop(name, None)
        _warn(name, error)


def _warn(name: str, error: BaseException) -> None:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    logger.warning(
        f"{name} gets no more of this run: {visible(reason)}; the run goes on, and metrics.jsonl"
        " has every line"
    )


def _read(run: Identity) -> dict[str, dict[str, Any]]:
    """What ``trackers.json`` says; nothing if there is none, or it was changed."""
    path = run.folder / RECORD
    try:
        found = parse_json(read_bounded(path), str(path))
        return {
            name: {
                "run": str(entry["run"]),
                "sent": int(entry["sent"]),
                "unsettled": bool(entry["unsettled"]),
            }
            for name, entry in found.items()
            if name in SINKS
        }
    except FileNotFoundError:
        return {}
    except (FdslError, LookupError, TypeError, ValueError, AttributeError):
        logger.warning(f"{path} cannot be read; trackers get this run as a new one")
        return {}
