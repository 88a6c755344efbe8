"""Several labels per image: binary cross entropy per class, positives weighted up."""

import math
from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fdsl_gen.core.errors import UsageError
from fdsl_train.config import Resolved
from fdsl_train.data.sources.base import Label
from fdsl_train.tasks.base import Guess, Outcome
from fdsl_train.transforms.batch import Batch


class Recall:
    """``val_recall``: share of all labels that are among the k highest, k the image's own number.

    With as many guesses as labels, precision is the same number.
    """

    def __init__(self) -> None:
        self._found = 0.0
        self._images = 0
        self._there = torch.zeros(0)

    def update(self, found: Tensor, labels: Tensor) -> None:
        """A batch: found are logits, float (B, C), labels multi-hot (B, C)."""
        self._found += float(_found(found, labels).sum())
        self._images += len(labels)
        there = labels.sum(dim=0, dtype=torch.float64).cpu()
        self._there = self._there + there if len(self._there) else there

    def counts(self) -> list[float]:
        """Labels found, images, labels of each class."""
        return [self._found, self._images, *self._there.tolist()]

    def percent(self, counts: list[float]) -> dict[str, float]:
        """``val_recall`` in percent."""
        return {"val_recall": 100.0 * counts[0] / sum(counts[2:])}

    def guess(self, counts: list[float]) -> Guess:
        """See ``Score``: always the most frequent classes, as many as images have on average."""
        images, there = int(counts[1]), sorted(counts[2:], reverse=True)
        several = max(1, round(sum(there) / images))
        return Guess(percent=100.0 * sum(there[:several]) / sum(there), images=images)


def _found(logits: Tensor, labels: Tensor) -> Tensor:
    """Labels among the highest logits of each image, as many as it has: float (B,)."""
    ranked = labels.gather(1, logits.argsort(dim=1, descending=True))
    places = torch.arange(labels.shape[1], device=labels.device)
    return (ranked * (places < labels.sum(dim=1, keepdim=True))).sum(dim=1)


class MultiLabel:
    """Binary cross entropy with logits, the positives of an image weighted by C / their number.

    So the few positives of an image weigh as much as its C classes together (Anderson and Farrell,
    "Improving Fractal Pre-training", WACV 2022).

    Args:
        config: the recipe; smoothing, mixup and cutmix are for single labels.
        num_classes: C, width of the model's output.

    Raises:
        UsageError: if the recipe mixes or smooths.
    """

    name: ClassVar[str] = "classification"
    small_recipe: ClassVar[str] = "cpu-finetune"

    def __init__(self, config: Resolved, num_classes: int) -> None:
        if config.mixes or config.smoothing:
            raise UsageError(
                "mixup, cutmix and smoothing are for images with one label, and these have several;"
                " use --mixup 0 --cutmix 0 --smoothing 0"
            )
        self._num_classes = num_classes

    @staticmethod
    def targets(labels: Sequence[Label], num_classes: int) -> Tensor:
        """See ``Task``: multi-hot float32 (B, C)."""
        targets = torch.zeros(len(labels), num_classes)
        for row, own in enumerate(labels):
            targets[row, list(own) if isinstance(own, tuple) else [own]] = 1.0
        return targets

    def step(self, model: nn.Module, batch: Batch) -> Outcome:
        """See ``Task``. The metric ``recall`` is that of :class:`Recall`."""
        logits = model(batch.images)
        positives = batch.labels.sum(dim=1, keepdim=True)
        loss = F.binary_cross_entropy_with_logits(
            logits, batch.labels, pos_weight=self._num_classes / positives
        )
        recall = _found(logits.detach(), batch.labels).sum() / positives.sum()
        return Outcome(loss, {"recall": recall})

    def predict(self, model: nn.Module, batch: Batch) -> Iterator[tuple[Tensor, Tensor]]:
        """See ``Task``: logits float32 (B, C) and the labels of the batch."""
        yield model(batch.images).float(), batch.labels

    def score(self) -> Recall:
        """See ``Task``."""
        return Recall()

    def blind_loss(self) -> float:
        """See ``Task``: what equal logits of all classes reach at best, the labels being few."""
        return 2 * math.log(2)
