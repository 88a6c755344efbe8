"""Numbers of a run: running means, accuracies from counts, and the two log files."""

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fdsl_gen import store


class Means:
    """Means of named scalars since the last :meth:`take`, summed on the device in float64."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def add(self, values: dict[str, Tensor]) -> None:
        """One step's scalars, each a tensor of shape ()."""
        for name, value in values.items():
            before = self._sums.get(name)
            now = value.detach().double()
            self._sums[name] = now if before is None else before.to(now.device) + now
        self._count += 1

    def take(self) -> dict[str, float]:
        """The means, and start anew; nothing if nothing was added."""
        means = {name: value.item() / self._count for name, value in self._sums.items()}
        self._sums, self._count = {}, 0
        return means

    def is_finite(self) -> bool:
        """Whether all that was added is a number."""
        return all(bool(torch.isfinite(value)) for value in self._sums.values())

    def state(self) -> dict[str, Any]:
        """What :meth:`restore` needs, for a checkpoint."""
        sums = {name: value.item() for name, value in self._sums.items()}
        return {"sums": sums, "count": self._count}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what :meth:`state` gave."""
        self._sums = {
            name: torch.tensor(value, dtype=torch.float64) for name, value in state["sums"].items()
        }
        self._count = state["count"]


class Accuracy:
    """Top-1 and top-5 over a whole split, from counts, so that batches may differ in size."""

    def __init__(self) -> None:
        self._hits_1 = 0
        self._hits_5 = 0
        self._count = 0

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """A batch: logits float (B, num_classes), labels int64 (B,)."""
        best = logits.topk(min(5, logits.shape[1]), dim=1).indices
        hits = best == labels[:, None]
        self._hits_1 += int(hits[:, 0].sum())
        self._hits_5 += int(hits.sum())
        self._count += len(labels)

    def percent(self) -> dict[str, float]:
        """``val_top1`` and ``val_top5`` in percent."""
        return {
            "val_top1": 100.0 * self._hits_1 / self._count,
            "val_top5": 100.0 * self._hits_5 / self._count,
        }


class Log:
    """A JSON line per logged step in ``metrics.jsonl``, a row per summary in ``summary.csv``.

    Args:
        folder: where both files are; they are appended to.
    """

    def __init__(self, folder: Path) -> None:
        self._metrics = folder / "metrics.jsonl"
        self._summary = folder / "summary.csv"

    def line(self, values: dict[str, float]) -> None:
        """Append to ``metrics.jsonl``."""
        with self._metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values, allow_nan=False) + "\n")

    def row(self, values: dict[str, float]) -> None:
        """Append to ``summary.csv``; the first row decides the columns."""
        fresh = not self._summary.exists()
        with self._summary.open("a", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(values))
            if fresh:
                writer.writeheader()
            writer.writerow(values)

    def rewind(self, step: int) -> None:
        """Forget what was logged after ``step``, and the line a killed process left half."""
        if self._metrics.exists():
            lines = self._metrics.read_text(encoding="utf-8").splitlines(keepends=True)
            store.write(self._metrics, "".join(_until(step, lines)).encode())
        if not self._summary.exists():
            return
        if step == 0:
            self._summary.unlink()
            return
        with self._summary.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            rows = [row for row in reader if None not in row.values() and int(row["step"]) <= step]
        buffer = io.StringIO(newline="")
        writer = csv.DictWriter(buffer, reader.fieldnames or [])
        writer.writeheader()
        writer.writerows(rows)
        store.write(self._summary, buffer.getvalue().encode())


def _until(step: int, lines: Iterable[str]) -> Iterable[str]:
    """Whole lines of ``metrics.jsonl`` up to ``step``."""
    for line in lines:
        if line.endswith("\n") and json.loads(line)["step"] <= step:
            yield line
