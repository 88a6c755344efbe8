"""What an objective is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from fdsl_train.config import Resolved
from fdsl_train.data.prefetch import Batch
from fdsl_train.data.sources.base import Label


@dataclass(frozen=True)
class Outcome:
    """Of one step: the loss to descend, and scalars worth logging, averaged over the batch."""

    loss: Tensor
    metrics: dict[str, Tensor]


class Score(Protocol):
    """A measure over a whole split, from counts, so that batches may differ in size."""

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """A batch: logits float (B, num_classes), labels as in ``Batch``."""
        ...

    def counts(self) -> list[float]:
        """What to sum over processes."""
        ...

    def percent(self, counts: list[float]) -> dict[str, float]:
        """The measures in percent, by name, from summed counts; the first one decides "best"."""
        ...


class Task(Protocol):
    """An objective for one label type.

    Args:
        config: the recipe; its loss settings are used.
        num_classes: width of the model's output.
    """

    def __init__(self, config: Resolved, num_classes: int) -> None: ...

    @staticmethod
    def targets(labels: Sequence[Label], num_classes: int) -> Tensor:
        """The labels of the samples of a batch as a tensor, on the CPU."""
        ...

    def step(self, model: nn.Module, batch: Batch) -> Outcome:
        """Loss and metrics of a batch that is on the model's device already."""
        ...

    def score(self) -> Score:
        """A fresh measure for validation."""
        ...
