"""``fdsl-train table``: what runs reached, side by side, from the files they left."""

import contextlib
import csv
import io
import re
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fdsl_gen.core import settings
from fdsl_gen.core.errors import UsageError
from fdsl_train.training.logs import read_metrics, read_summary
from fdsl_train.training.run_dir import ARGS, FREE_ON_RESUME

Form = Literal["text", "csv", "latex", "md"]

_MEASURES = ("val_top1", "val_recall", "val_miou")
_HEAD = ["run", "data", "identity", "start", "model", "steps", "seeds", "measure", "last", "best"]
_BEGINNING = re.compile(r"^# data (\w*), start (.*)$", re.M)
_FREE = FREE_ON_RESUME | {"seed"}


@dataclass(frozen=True)
class _Run:
    """A run's row before runs are put together.

    Attributes:
        name: of the folder.
        data, digest, start: what it was trained on, and began with, as its ``args.yaml`` says.
        config: its settings.
        step: the last that is logged.
        measure: ``val_top1`` or another one, or ``loss`` where nothing was validated.
        last, best: percent; the loss itself for ``loss``.
    """

    name: str
    data: str
    digest: str
    start: str
    config: dict[str, Any]
    step: int
    measure: str
    last: float
    best: float

    @property
    def group(self) -> str:
        """The same for runs that differ in the seed alone."""
        same = {key: value for key, value in self.config.items() if key not in _FREE}
        parts = [self.digest or self.data, self.start, self.step, self.measure, same]
        return settings.canonical_json(parts)


def runs_table(runs: list[Path], form: Form | str = "text") -> str:
    """A row for each run, and for runs that differ in the seed alone.

    Args:
        runs: output folders.
        form: ``text``, ``csv``, ``latex`` (with booktabs) or ``md``.

    Returns:
        The table, a line per row.

    Raises:
        UsageError: if a folder is no run, or has not logged anything.
    """
    groups: dict[str, list[_Run]] = {}
    for run in runs:
        found = _read(run)
        groups.setdefault(found.group, []).append(found)
    rows = [_row(group) for group in groups.values()]
    return {"csv": _csv, "latex": _latex, "md": _md}.get(form, _text)(rows)


def _read(run: Path) -> _Run:
    try:
        text = (run / ARGS).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{run} is not a run of fdsl-train: it has no {ARGS}") from None
    config = settings.load_yaml(run / ARGS)
    if not isinstance(config, dict):
        raise UsageError(f"{run / ARGS} must be a mapping")
    data = text.splitlines()[0].rpartition(", data ")[2]
    known = _BEGINNING.search(text)
    summary: list[dict[str, str]] = []
    with contextlib.suppress(FileNotFoundError):
        summary = read_summary(run / "summary.csv")
    measure = next((name for name in _MEASURES if summary and summary[-1].get(name)), "loss")
    try:
        if measure == "loss":
            logged = [(row["step"], row["loss"]) for _, row in read_metrics(run / "metrics.jsonl")]
            values = [loss for _, loss in logged]
            steps = [int(step) for step, _ in logged]
        else:
            rows = [row for row in summary if row.get(measure)]
            values = [float(row[measure]) for row in rows]
            steps = [int(row["step"]) for row in rows]
    except FileNotFoundError:
        values, steps = [], []
    except (KeyError, ValueError) as error:
        raise UsageError(f"{run} holds a log that fdsl-train did not write: {error}") from None
    if not values:
        raise UsageError(f"{run} has not logged anything yet")
    best = min(values) if measure == "loss" else max(values)
    name = run.resolve().name
    digest, start = known.groups() if known else ("", "")
    return _Run(name, data, digest, start, config, steps[-1], measure, values[-1], best)


def _row(group: list[_Run]) -> list[str]:
    first = group[0]
    names = [run.name for run in group]
    return [
        names[0] if len(names) == 1 else f"{names[0]} +{len(names) - 1}",
        first.data,
        first.digest,
        first.start,
        _model(first.config),
        f"{first.step:,}",
        str(len(group)),
        first.measure.removeprefix("val_"),
        _spread([run.last for run in group], first.measure),
        _spread([run.best for run in group], first.measure),
    ]


def _model(config: dict[str, Any]) -> str:
    """Name and size of the input, and what differs from timm's model."""
    sizes = {"patch_size": "patch", "embed_dim": "width", "depth": "depth", "num_heads": "heads"}
    own = [f"{word} {config[key]}" for key, word in sizes.items() if config.get(key)]
    words = [str(config.get("model")), f"{config.get('img_size')} px", *own]
    return ", ".join(words)


def _spread(values: list[float], measure: str) -> str:
    unit = "" if measure == "loss" else " %"
    mean = f"{statistics.fmean(values):.2f}"
    if len(values) == 1:
        return f"{mean}{unit}"
    return f"{mean} ± {statistics.stdev(values):.2f}{unit}"


def _text(rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in [_HEAD, *rows]) for i in range(len(_HEAD))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [_HEAD, *rows]
    ]
    return "\n".join(lines) + "\n"


def _md(rows: list[list[str]]) -> str:
    lines = [_HEAD, ["---"] * len(_HEAD), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _csv(rows: list[list[str]]) -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerows([_HEAD, *rows])
    return buffer.getvalue()


def _latex(rows: list[list[str]]) -> str:
    marks = {"%": r"\%", "±": r"$\pm$", "_": r"\_", "&": r"\&", "#": r"\#"}

    def line(row: list[str]) -> str:
        return " & ".join("".join(marks.get(sign, sign) for sign in cell) for cell in row) + r" \\"

    body = "\n".join(line(row) for row in rows)
    return (
        rf"\begin{{tabular}}{{{'l' * len(_HEAD)}}}"
        f"\n\\toprule\n{line(_HEAD)}\n\\midrule\n{body}\n\\bottomrule\n\\end{{tabular}}\n"
    )
