"""What an objective is."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from torch import Tensor, nn

from fdsl_train.config import Resolved
from fdsl_train.data.sources.base import Label
from fdsl_train.transforms.batch import Batch


@dataclass(frozen=True)
class Outcome:
    """Of one step: the loss to descend, and scalars worth logging, averaged over the batch."""

    loss: Tensor
    metrics: dict[str, Tensor]


@dataclass(frozen=True)
class Guess:
    """What the best answer that never looks at an image reaches, as the first measure of a score.

    Attributes:
        percent: such as the share of the most frequent class.
        images: that it was measured on.
        always: the one class that the model answered for every image; None if it gave several.
    """

    percent: float
    images: int
    always: int | None = None

    @property
    def limit(self) -> float:
        """Percent that such an answer may reach by luck: two standard errors above ``percent``."""
        share = min(1.0, self.percent / 100)
        return self.percent + 200 * math.sqrt(share * (1 - share) / max(1, self.images))


class Score(Protocol):
    """A measure over a whole split, from counts, so that batches may differ in size."""

    def update(self, found: Tensor, labels: Tensor) -> None:
        """Some images, as :meth:`Task.predict` gives them."""
        ...

    def counts(self) -> list[float]:
        """What to sum over processes."""
        ...

    def percent(self, counts: list[float]) -> dict[str, float]:
        """The measures in percent, by name, from summed counts; the first one decides "best"."""
        ...

    def guess(self, counts: list[float]) -> Guess:
        """What knowing nothing would have reached, from summed counts."""
        ...


class Task(Protocol):
    """An objective for one label type.

    Args:
        config: the recipe; its loss settings are used.
        num_classes: width of the model's output.

    Attributes:
        name: what ``--task`` calls it.
        small_recipe: of a fine-tuning on two cores.
    """

    name: ClassVar[str]
    small_recipe: ClassVar[str]

    def __init__(self, config: Resolved, num_classes: int) -> None: ...

    @staticmethod
    def targets(labels: Sequence[Label], num_classes: int) -> Tensor:
        """The labels of the samples of a batch as a tensor, on the CPU."""
        ...

    def step(self, model: nn.Module, batch: Batch) -> Outcome:
        """Loss and metrics of a batch that is on the model's device already."""
        ...

    def predict(self, model: nn.Module, batch: Batch) -> Iterator[tuple[Tensor, Tensor]]:
        """What the model says of a batch, and what is true, for :meth:`Score.update`."""
        ...

    def score(self) -> Score:
        """A fresh measure for validation."""
        ...

    def blind_loss(self) -> float:
        """The loss of the best model that never looks at an image, all classes equally frequent."""
        ...
