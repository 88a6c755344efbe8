"""What the runs left in their folders, as numbers."""

import csv
import json
import math
import statistics
from dataclasses import dataclass
from pathlib import Path

from bench.transfer.plan import SCRATCH, Arm, Plan


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
        arm: of the plan.
        pretraining: None for scratch.
        top1: percent of the digits not trained on, after the last step, by draw.
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


def read_rows(plan: Plan, work: Path) -> list[Row]:
    """The rows of the table, in the order of the plan; all runs must be finished."""
    reached = {
        arm.name: [_last_top1(work / "finetuned" / f"{arm.name}-{draw}") for draw in plan.draws]
        for arm in plan.arms
    }
    rows = []
    for arm in plan.arms:
        top1, gains, pretraining = reached[arm.name], [], None
        if arm.dataset is not None:
            gains = [own - base for own, base in zip(top1, reached[SCRATCH], strict=True)]
            pretraining = _pretraining(work, arm)
        rows.append(Row(arm, pretraining, top1, gains))
    return rows


def is_clear(row: Row, scratch: Row) -> bool:
    """Whether the gain is beyond the spread of the draws.

    Every draw must gain, and the mean gain must exceed the range of scratch over the draws.
    """
    return min(row.gains) > 0 and row.gain > max(scratch.top1) - min(scratch.top1)


def _last_top1(run: Path) -> float:
    with (run / "summary.csv").open(encoding="utf-8", newline="") as file:
        return float(list(csv.DictReader(file))[-1]["val_top1"])


def _pretraining(work: Path, arm: Arm) -> Pretraining:
    manifest = json.loads((work / "data" / arm.name / "manifest.json").read_text(encoding="utf-8"))
    log = (work / "pretrained" / arm.name / "metrics.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in log.splitlines()]
    end = [line for line in lines if line["step"] > 0.9 * lines[-1]["step"]]
    return Pretraining(
        steps=lines[-1]["step"],
        loss=statistics.fmean(line["loss"] for line in end),
        chance=math.log(manifest["num_classes"]),
        top1=100 * statistics.fmean(line["top1"] for line in end),
    )
