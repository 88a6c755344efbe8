"""What a finished run gives back to a script."""

from dataclasses import dataclass
from pathlib import Path

from fdsl_train.training.chance import Standing
from fdsl_train.training.checkpoint import LAST
from fdsl_train.training.logs import read_metrics
from fdsl_train.training.run_dir import EXPORT

#: Words for the measures of a validation.
MEASURES = {
    "val_top1": "top-1",
    "val_top5": "top-5",
    "val_recall": "recall",
    "val_miou": "mean IoU",
    "val_macc": "mean accuracy",
    "val_pacc": "pixel accuracy",
}


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """A finished run.

    Attributes:
        output: folder of the run.
        steps: optimizer steps done.
        last: the last validation by measure, percent, such as ``val_top1``; empty without one.
        best: the validation with the highest first measure, and its ``step``.
        label: what was validated on.
        standing: how it stands to knowing nothing.
    """

    output: Path
    steps: int
    last: dict[str, float]
    best: dict[str, float]
    label: str = ""
    standing: Standing | None = None

    @property
    def learned(self) -> bool:
        """Whether the run knows more than nothing: loss or validation beat those of a guess."""
        return self.standing is None or self.standing.learned

    def in_words(self, measures: dict[str, float]) -> str:
        """Measures of :attr:`last` or :attr:`best` as text, with what a guess would reach."""
        words = [
            f"{MEASURES[name]} {measures[name]:.2f} %" for name in MEASURES if name in measures
        ]
        if words and self.standing is not None and self.standing.guess is not None:
            words[0] += f" (a guess: {self.standing.guess.percent:.2f} %)"
        return ", ".join(words)

    @property
    def checkpoint(self) -> Path:
        """The last checkpoint."""
        return self.output / LAST

    @property
    def export(self) -> Path:
        """The exported model, for :func:`fdsl_train.load_model` and timm's ``local-dir:``."""
        return self.output / EXPORT

    @property
    def metrics(self) -> dict[str, list[float]]:
        """What was logged, by column: ``step``, ``loss``, ``lr``, ...; ready for pandas."""
        rows = [row for _, row in read_metrics(self.output / "metrics.jsonl")]
        names = dict.fromkeys(name for row in rows for name in row)
        return {name: [row.get(name, float("nan")) for row in rows] for name in names}
