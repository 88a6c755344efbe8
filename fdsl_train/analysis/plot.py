"""``fdsl-train plot``: loss, learning rate and accuracy of runs, from the logs they left."""

import contextlib
import logging
from pathlib import Path

import numpy as np

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.settings import load_yaml
from fdsl_train.analysis.figures.curves import Curves, Values, draw_curves
from fdsl_train.analysis.figures.save import check_picture
from fdsl_train.training.logs import read_metrics, read_summary
from fdsl_train.training.run_dir import ARGS

logger = logging.getLogger(__name__)

_MEASURES = ("val_top1", "val_recall", "val_miou")


def plot(runs: list[Path], out: Path | None) -> Path:
    """Draw runs into one picture.

    Args:
        runs: their output folders.
        out: file to write, PNG, PDF or SVG; None: ``plot.png``, in the run if there is one.

    Returns:
        The file.

    Raises:
        UsageError: if a folder holds no log, or matplotlib is not installed.
    """
    path = out or (runs[0] / "plot.png" if len(runs) == 1 else Path("plot.png"))
    check_picture(path)
    names = [run.resolve().name for run in runs]
    if len(set(names)) < len(names):
        names = [str(run) for run in runs]
    draw_curves(path, [read_run(run, name) for run, name in zip(runs, names, strict=True)])
    logger.info(f"picture {path}")
    return path


def read_run(run: Path, name: str) -> Curves:
    """The logs in the output folder of a run.

    Raises:
        UsageError: if there are none.
    """
    try:
        rows = [row for _, row in read_metrics(run / "metrics.jsonl")]
    except FileNotFoundError:
        raise UsageError(f"{run} is not a run of fdsl-train: it has no metrics.jsonl") from None
    if not rows:
        raise UsageError(f"{run} has not logged anything yet")
    wanted = {"step", "loss", "lr"} | ({"top1"} & rows[0].keys())
    if missing := [name for row in rows for name in sorted(wanted - row.keys())]:
        raise UsageError(f"{run / 'metrics.jsonl'} has a line without {missing[0]}")
    columns = {key: np.array([row[key] for row in rows], np.float64) for key in wanted}
    measured, accuracy = _validations(run / "summary.csv")
    return Curves(
        name=name,
        kind=_kind(run),
        steps=columns["step"],
        loss=columns["loss"],
        lr=columns["lr"],
        top1=100.0 * columns["top1"] if "top1" in columns else None,
        measured=measured,
        accuracy=accuracy,
    )


def _kind(run: Path) -> str:
    """Pre-training or fine-tuning, as the settings of a run say."""
    with contextlib.suppress(UsageError):
        config = load_yaml(run / ARGS)
        purpose = config.get("purpose") if isinstance(config, dict) else None
        return {"pretrain": "pre-training", "finetune": "fine-tuning"}.get(str(purpose), "")
    return ""


def _validations(summary: Path) -> tuple[Values, Values]:
    """Steps and percent of the validations; none where the run had no validation part."""
    rows: list[dict[str, str]] = []
    with contextlib.suppress(FileNotFoundError):
        rows = read_summary(summary)
    measure = next((name for name in _MEASURES if rows and rows[0].get(name)), None)
    if measure is None:
        return np.empty(0), np.empty(0)
    try:
        pairs = [(float(row["step"]), float(row[measure])) for row in rows if row.get(measure)]
    except ValueError as error:
        raise UsageError(f"{summary} is not a summary of fdsl-train: {error}") from None
    steps, values = np.array(pairs).T
    return steps, values
