"""Numbers of a run: running means over steps and processes, and the log files."""

import contextlib
import csv
import io
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fdsl_gen.core.errors import FdslError, UsageError
from fdsl_gen.core.json_text import parse_json, read_bounded
from fdsl_gen.storage import local
from fdsl_train.distributed.group import Group
from fdsl_train.training.presence import check_present
from fdsl_train.training.trackers import SINKS, Identity, Line
from fdsl_train.training.tracking import Tracking

logger = logging.getLogger(__name__)

TENSORBOARD = "tensorboard"
_MOST_LINE = 1 << 16  # bytes of a line of metrics.jsonl
_MOST_DIGITS = 16  # of a step


class Means:
    """Means of named scalars since the last :meth:`compute`, summed on the device in float64.

    Args:
        group: the processes whose scalars are averaged.
    """

    def __init__(self, group: Group) -> None:
        self._group = group
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def update(self, values: dict[str, Tensor]) -> None:
        """One step's scalars of this process, each a tensor of shape ()."""
        for name, value in values.items():
            before = self._sums.get(name)
            now = value.detach().double()
            self._sums[name] = now if before is None else before.to(now.device) + now
        self._count += 1

    def compute(self) -> dict[str, float]:
        """The means so far, and start anew. Collective: call on all ranks."""
        means = {name: value / self._count for name, value in self._totals().items()}
        self._sums, self._count = {}, 0
        return means

    def _totals(self) -> dict[str, float]:
        """The sums, averaged over processes."""
        sums = self._group.sum([value.item() for value in self._sums.values()])
        processes = self._group.world_size
        return {name: value / processes for name, value in zip(self._sums, sums, strict=True)}

    def state(self) -> dict[str, Any]:
        """What :meth:`restore` needs in any process. Collective: call on all ranks."""
        return {"sums": self._totals(), "count": self._count}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what :meth:`state` gave."""
        self._sums = {
            name: torch.tensor(value, dtype=torch.float64) for name, value in state["sums"].items()
        }
        self._count = state["count"]


class Log:
    """A JSON line per logged step in ``metrics.jsonl``, a row per summary in ``summary.csv``.

    Both also as TensorBoard events, and to trackers.

    Args:
        folder: where the files are; they are appended to.
        step: forget what was logged after it, and what a killed process left half.
        trackers: by name; None: TensorBoard, if it is installed.
        settings: what TensorBoard and trackers are told of the run, plain values by name.
    """

    def __init__(
        self,
        folder: Path,
        step: int,
        trackers: Sequence[str] | None = None,
        settings: dict[str, Any] | None = None,
    ) -> None:
        check_present(folder)
        self._metrics = folder / "metrics.jsonl"
        self._summary = folder / "summary.csv"
        self._rewind(step)
        if trackers is None:
            trackers = [TENSORBOARD] if find_spec(TENSORBOARD) is not None else []
        self._board: Any = None
        self._tracking: Tracking | None = None
        if TENSORBOARD in trackers:
            with self._on_the_board():
                self._board = _open_board(folder / TENSORBOARD, step, settings or {})
        names = [name for name in trackers if name in SINKS]
        if names:
            run = Identity(folder, settings or {})
            self._tracking = Tracking(names, run, step, self._lines_so_far())

    def line(self, values: dict[str, float]) -> None:
        """Append to ``metrics.jsonl``.

        Raises:
            FdslError: if it cannot be written.
        """
        with _writing(self._metrics), self._metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values, allow_nan=False) + "\n")
        self._show("train", values)

    def row(self, values: dict[str, float]) -> None:
        """Append to ``summary.csv``; the first row decides the columns.

        Raises:
            FdslError: if it cannot be written.
        """
        fresh = not self._summary.exists()
        mode: dict[str, Any] = {"mode": "a", "encoding": "utf-8", "newline": ""}
        with _writing(self._summary), self._summary.open(**mode) as file:
            writer = csv.DictWriter(file, list(values))
            if fresh:
                writer.writeheader()
            writer.writerow(values)
        self._show("summary", values)

    def covered(self) -> Callable[[], None] | None:
        """What to call once a checkpoint of this moment is on the disk; None: nothing."""
        return None if self._tracking is None else self._tracking.covered()

    def close(self, *, finished: bool = True) -> None:
        """Hand over what TensorBoard and trackers have not got yet.

        Args:
            finished: whether this was the last step of the run.

        Raises:
            FdslError: if the folder was deleted.
        """
        if self._tracking is not None:
            self._tracking.close(finished=finished)
        if self._board is not None:
            with self._on_the_board():
                self._board.close()

    def _show(self, group: str, values: dict[str, float]) -> None:
        step, named = _named(group, values)
        if self._tracking is not None:
            self._tracking.add(step, named)
        if self._board is not None:
            with self._on_the_board():
                for name, value in named.items():
                    self._board.add_scalar(name, value, step)

    @contextlib.contextmanager
    def _on_the_board(self) -> Iterator[None]:
        """TensorBoard writes in a thread of its own and tells its failures at a later call."""
        try:
            yield
        except Exception as error:  # of whatever kind: no run stops for it
            check_present(self._metrics.parent)
            self._board = None
            logger.warning(f"TensorBoard gets no more of this run: {error}; the run goes on")

    def _lines_so_far(self) -> list[Line]:
        """All that stands in the files, in the order of steps."""
        found: dict[int, dict[str, float]] = {}
        with contextlib.suppress(FileNotFoundError):
            for _, values in read_metrics(self._metrics):
                step, named = _named("train", values)
                found.setdefault(step, {}).update(named)
        with contextlib.suppress(FileNotFoundError):
            for texts in read_summary(self._summary):
                with contextlib.suppress(ValueError):  # a column of somebody else's
                    step, named = _named("summary", {k: float(v) for k, v in texts.items()})
                    found.setdefault(step, {}).update(named)
        return [Line(step, found[step]) for step in sorted(found)]

    def _rewind(self, step: int) -> None:
        with contextlib.suppress(FileNotFoundError):
            lines = [line for line, row in read_metrics(self._metrics) if row["step"] <= step]
            local.write(self._metrics, b"".join(lines))
        if step == 0:
            self._summary.unlink(missing_ok=True)
            return
        with contextlib.suppress(FileNotFoundError):
            rows = read_summary(self._summary)
            buffer = io.StringIO(newline="")
            writer = csv.DictWriter(buffer, list(rows[0]) if rows else [])
            writer.writeheader()
            writer.writerows(row for row in rows if int(row["step"]) <= step)
            local.write(self._summary, buffer.getvalue().encode())


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    check_present(path.parent)
    try:
        yield
    except OSError as error:  # a full disk is told at the end of a write, without the file's name
        raise FdslError(
            f"cannot write {path}: {error.strerror or error}; make room and start the same command"
            " with --resume auto"
        ) from None


def _named(group: str, values: dict[str, float]) -> tuple[int, dict[str, float]]:
    """Step and the other values of a row, by the names that trackers get."""
    named = {f"{group}/{name}": value for name, value in values.items() if name != "step"}
    return int(values["step"]), named


def _open_board(folder: Path, step: int, settings: dict[str, Any]) -> Any:
    """A writer of TensorBoard events that hides those after ``step``."""
    from torch.utils.tensorboard import SummaryWriter

    board = SummaryWriter(str(folder), purge_step=step + 1)
    if step == 0 and settings:
        table = [f"| {name} | {value} |" for name, value in settings.items()]
        board.add_text("settings", "\n".join(["| setting | value |", "|---|---|", *table]), 0)
    return board


def read_metrics(path: Path) -> Iterator[tuple[bytes, dict[str, float]]]:
    """The whole lines of a ``metrics.jsonl``, and what they say by column.

    The last line of a run that was killed, or is being written, may be half there.

    Raises:
        FileNotFoundError: if there is no such file.
        UsageError: if a line holds something else than numbers, one of them ``step``.
    """
    for number, line in enumerate(read_bounded(path).splitlines(keepends=True), 1):
        if not line.endswith(b"\n"):
            return
        where = f"{path}, line {number}"
        row = parse_json(line, where, _MOST_LINE)
        if not isinstance(row, dict) or type(row.get("step")) is not int:
            raise UsageError(f"{where} is not one that fdsl-train writes: it has no step")
        if not all(type(value) in (int, float) for value in row.values()):
            raise UsageError(f"{where} is not one that fdsl-train writes: not all are numbers")
        yield line, row


def read_summary(path: Path) -> list[dict[str, str]]:
    """The whole rows of a ``summary.csv``, by column; every ``step`` is an integer.

    Raises:
        FileNotFoundError: if there is no such file.
        UsageError: if it holds something else.
    """
    content = read_bounded(path)
    try:
        reader = csv.DictReader(io.StringIO(content.decode(), newline=""), strict=True)
        rows = [row for row in reader if None not in row.values()]
        whole = all(None not in row and row["step"].isdecimal() for row in rows)
        if whole and all(len(row["step"]) < _MOST_DIGITS for row in rows):
            return rows
        reason = "a row does not fit the first line"
    except (ValueError, KeyError, csv.Error) as error:
        reason = f"no column {error}" if isinstance(error, KeyError) else str(error)
    raise UsageError(f"{path} is not a summary of fdsl-train: {reason}")
