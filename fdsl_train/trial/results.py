"""What the runs left in their folders, as numbers, and what follows from them."""

import csv
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fdsl_train.training.run_dir import EXPORT
from fdsl_train.trial.arms import Arm

Verdict = Literal["helps", "harms", "no clear difference"]


@dataclass(frozen=True)
class Pretraining:
    """How pre-training ended: averages over the last lines of its log.

    Attributes:
        steps: taken.
        loss: cross entropy over the last tenth of the run, nats.
        chance: the loss of a model that knows nothing, ln(classes).
        top1: of the training batches over the last tenth, percent.
    """

    steps: int
    loss: float
    chance: float
    top1: float


@dataclass(frozen=True)
class Row:
    """An arm and what it reached.

    Attributes:
        arm: what was compared.
        pretraining: None for scratch.
        top1: percent of the images not trained on, after the last step, by draw.
        gains: points above scratch on the same draw; empty for scratch.
    """

    arm: Arm
    pretraining: Pretraining | None
    top1: list[float]
    gains: list[float]

    @property
    def mean(self) -> float:
        """Mean accuracy over the draws, percent."""
        return statistics.fmean(self.top1)

    @property
    def gain(self) -> float:
        """Mean gain over the draws, points."""
        return statistics.fmean(self.gains)

    @property
    def spread(self) -> float:
        """Range of the accuracy over the draws, points."""
        return max(self.top1) - min(self.top1)


def make_rows(
    arms: Sequence[Arm],
    top1: dict[str, list[float]],
    pretraining: dict[str, Pretraining],
) -> list[Row]:
    """The rows of a table, in the order of the arms.

    Args:
        arms: one of them scratch, which has no dataset.
        top1: percent by draw, by the name of the arm.
        pretraining: by the name of the arm.
    """
    (scratch,) = (arm.name for arm in arms if arm.dataset is None)
    return [
        Row(
            arm,
            pretraining.get(arm.name),
            top1[arm.name],
            []
            if arm.name == scratch
            else [own - base for own, base in zip(top1[arm.name], top1[scratch], strict=True)],
        )
        for arm in arms
    ]


def is_clear(row: Row, scratch: Row) -> bool:
    """Whether the gain is beyond the spread of the draws.

    Every draw must gain, and the mean gain must exceed the range of scratch over the draws.
    """
    return min(row.gains) > 0 and row.gain > scratch.spread


def verdict(row: Row, scratch: Row) -> Verdict:
    """What a row says: clear as in :func:`is_clear`, in either direction."""
    if is_clear(row, scratch):
        return "helps"
    if max(row.gains) < 0 and -row.gain > scratch.spread:
        return "harms"
    return "no clear difference"


def last_top1(run: Path) -> float:
    """The accuracy after the last step of a finished run, percent."""
    with (run / "summary.csv").open(encoding="utf-8", newline="") as file:
        return float(list(csv.DictReader(file))[-1]["val_top1"])


def read_pretraining(run: Path) -> Pretraining:
    """How a pre-training ended, from its folder."""
    exported = json.loads((run / EXPORT / "config.json").read_text(encoding="utf-8"))
    log = (run / "metrics.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in log.splitlines()]
    end = [line for line in lines if line["step"] > 0.9 * lines[-1]["step"]]
    return Pretraining(
        steps=lines[-1]["step"],
        loss=statistics.fmean(line["loss"] for line in end),
        chance=math.log(exported["num_classes"]),
        top1=100 * statistics.fmean(line["top1"] for line in end),
    )
