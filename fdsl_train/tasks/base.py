"""What an objective is."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from fdsl_train.data.prefetch import Batch


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
    """An objective."""

    def step(self, model: nn.Module, batch: Batch) -> Outcome:
        """Loss and metrics of a batch that is on the model's device already."""
        ...

    def score(self) -> Score:
        """A fresh measure for validation."""
        ...
