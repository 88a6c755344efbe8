"""Whether a run learned anything: its loss and accuracy beside those of knowing nothing."""

import contextlib
import logging
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fdsl_gen.core.errors import UsageError
from fdsl_train.config import Purpose
from fdsl_train.tasks.base import Guess
from fdsl_train.training.logs import read_metrics

logger = logging.getLogger(__name__)

_NEAR = 0.95  # share of the loss of knowing nothing that a run must get below
_TAIL = 0.9  # the loss of a run is the mean over the steps after this share of it

# What to try, by the command; the same words stand in docs/training.md.
_ADVICE: dict[Purpose, str] = {
    "pretrain": (
        "try more --steps, another --lr, or a set that is easier to tell apart (fewer"
        " --num-categories, of fractal-1 a larger --delta); on a CPU --recipe "
    ),
    "finetune": "try another --lr, more --epochs, or another --checkpoint; on a CPU --recipe ",
}
# Recipes for a CPU: of labels of images, and of masks.
_SMALL: dict[Purpose, tuple[str, str]] = {
    "pretrain": ("cpu-pretrain", "cpu-segment"),
    "finetune": ("cpu-finetune", "cpu-segment-finetune"),
}

_OVERFITTED = (
    "try more images, a --checkpoint that was pre-trained on formulas, or more augmentation; few"
    " images to measure on tell little"
)


@dataclass(frozen=True)
class Standing:
    """How a run stands to knowing nothing.

    Attributes:
        loss: mean over the last tenth of the run; None if nothing was logged there.
        blind_loss: of a model that never looks at the image.
        reached: the last validation's first measure, percent; None without one.
        guess: what an answer that never looks reaches there; None without validation.
    """

    loss: float | None
    blind_loss: float
    reached: float | None = None
    guess: Guess | None = None

    @property
    def learned(self) -> bool:
        """Whether the run knows more than nothing; validation decides where there is one."""
        if self.reached is not None and self.guess is not None:
            return self.reached > self.guess.limit
        return self.fitted is not False

    @property
    def fitted(self) -> bool | None:
        """Whether it knows more than nothing of its training images; None: nothing is known."""
        return None if self.loss is None else self.loss < _NEAR * self.blind_loss


def guess_from(saved: Any) -> Guess | None:
    """The guess that stands in a checkpoint; None if there is none."""
    return Guess(**saved) if isinstance(saved, dict) else None


def standing(
    output: Path, blind_loss: float, last: dict[str, float], guess: Guess | None
) -> Standing:
    """Compare a finished run with knowing nothing.

    Args:
        output: folder of the run; its log gives the loss.
        blind_loss: of the objective.
        last: the last validation, percent by measure; empty without one.
        guess: what knowing nothing reaches in it.
    """
    end: list[float] = []
    with contextlib.suppress(FileNotFoundError, UsageError):  # a log that was deleted or changed
        rows = [row for _, row in read_metrics(output / "metrics.jsonl")]
        end = [row["loss"] for row in rows if row["step"] > _TAIL * rows[-1]["step"]]
    return Standing(
        loss=statistics.fmean(end) if end else None,
        blind_loss=blind_loss,
        reached=next(iter(last.values()), None),
        guess=guess,
    )


def tell(
    found: Standing | None,
    purpose: Purpose,
    class_names: Sequence[str] | None,
    *,
    dense: bool = False,
) -> None:
    """Say how a run stands, and what to try if it learned nothing.

    Args:
        found: of the finished run.
        purpose: the command.
        class_names: by label, where the data has names.
        dense: whether every pixel has a label.
    """
    if found is None:
        return
    if found.loss is not None:
        logger.info(
            f"loss {found.loss:.2f} over the last tenth of the run;"
            f" knowing nothing: {found.blind_loss:.2f}"
        )
    if not found.learned:
        what = "KNOWS ITS TRAINING IMAGES ALONE" if found.fitted else "LEARNED NOTHING"
        advice = _OVERFITTED if found.fitted else _ADVICE[purpose] + _SMALL[purpose][dense]
        logger.warning(f"THIS RUN {what}: {_why(found, class_names, dense=dense)}; {advice}")


def _why(found: Standing, class_names: Sequence[str] | None, *, dense: bool) -> str:
    guess = found.guess
    if guess is None or found.reached is None:
        return "its loss is that of knowing nothing"
    text = (
        f"{found.reached:.2f} % of {guess.images:,} others is no better than a guess,"
        f" {guess.percent:.2f} %"
    )
    if guess.always is None:
        return text
    name = guess.always if class_names is None else class_names[guess.always]
    return f"{text}, and every {'pixel' if dense else 'image'} is called {name}"
