"""One label per image: cross entropy."""

import math
from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from timm.data.mixup import Mixup
from torch import Tensor, nn

from fdsl_train.config import Resolved
from fdsl_train.data.sources.base import Label
from fdsl_train.tasks.base import Guess, Outcome
from fdsl_train.transforms.batch import Batch


class Accuracy:
    """Top-1 and top-5, and how often each class was there and was answered."""

    def __init__(self) -> None:
        self._hits_1 = 0
        self._hits_5 = 0
        self._there = torch.zeros(0, dtype=torch.int64)
        self._answered = torch.zeros(0, dtype=torch.int64)

    def update(self, found: Tensor, labels: Tensor) -> None:
        """A batch: found are logits, float (B, num_classes), labels int64 (B,)."""
        classes = found.shape[1]
        best = found.topk(min(5, classes), dim=1).indices
        hits = best == labels[:, None]
        self._hits_1 += int(hits[:, 0].sum())
        self._hits_5 += int(hits.sum())
        there = torch.bincount(labels, minlength=classes).cpu()
        answered = torch.bincount(best[:, 0], minlength=classes).cpu()
        self._there = self._there + there if len(self._there) else there
        self._answered = self._answered + answered if len(self._answered) else answered

    def counts(self) -> list[float]:
        """Hits among the first, among the first five; images of each class, answers of each."""
        return [self._hits_1, self._hits_5, *self._there.tolist(), *self._answered.tolist()]

    def percent(self, counts: list[float]) -> dict[str, float]:
        """``val_top1`` and ``val_top5`` in percent."""
        top1, top5, *rest = counts
        images = sum(rest[: len(rest) // 2])
        return {"val_top1": 100.0 * top1 / images, "val_top5": 100.0 * top5 / images}

    def guess(self, counts: list[float]) -> Guess:
        """See ``Score``: the share of the most frequent class."""
        there, answered = counts[2 : len(counts) // 2 + 1], counts[len(counts) // 2 + 1 :]
        given = [label for label, count in enumerate(answered) if count]
        return Guess(
            percent=100.0 * max(there) / sum(there),
            images=int(sum(there)),
            always=given[0] if len(given) == 1 else None,
        )


class Classification:
    """Cross entropy against one label per image, with smoothing, mixup and cutmix.

    Args:
        config: the recipe; its loss settings are used.
        num_classes: width of the model's output.
    """

    name: ClassVar[str] = "classification"
    small_recipe: ClassVar[str] = "cpu-finetune"

    def __init__(self, config: Resolved, num_classes: int) -> None:
        self._num_classes = num_classes
        self._smoothing = config.smoothing
        self._mixup: Mixup | None = None
        if config.mixes:
            self._mixup = Mixup(  # type: ignore[no-untyped-call]
                mixup_alpha=config.mixup,
                cutmix_alpha=config.cutmix,
                prob=config.mixup_prob,
                switch_prob=config.mixup_switch_prob,
                label_smoothing=config.smoothing,
                num_classes=num_classes,
            )

    @staticmethod
    def targets(labels: Sequence[Label], num_classes: int) -> Tensor:
        """See ``Task``: int64 (B,)."""
        return torch.tensor(labels, dtype=torch.int64)

    def step(self, model: nn.Module, batch: Batch) -> Outcome:
        """See ``Task``. The metric ``top1`` counts the heavier label of a mixed image."""
        images, targets = self._mixed(batch)
        logits = model(images)
        loss = F.cross_entropy(logits, targets)
        hits = logits.detach().argmax(dim=1) == targets.argmax(dim=1)
        return Outcome(loss, {"top1": hits.float().mean()})

    def predict(self, model: nn.Module, batch: Batch) -> Iterator[tuple[Tensor, Tensor]]:
        """See ``Task``: logits float32 (B, C) and the labels of the batch."""
        yield model(batch.images).float(), batch.labels

    def score(self) -> Accuracy:
        """See ``Task``."""
        return Accuracy()

    def blind_loss(self) -> float:
        """See ``Task``: ln(classes), whatever is smoothed or mixed."""
        return math.log(self._num_classes)

    def _mixed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Images and target distributions, float32 (B, num_classes)."""
        if self._mixup is not None:
            images, targets = self._mixup(batch.images, batch.labels)
            return images, targets
        off = self._smoothing / self._num_classes
        targets = F.one_hot(batch.labels, self._num_classes) * (1.0 - self._smoothing) + off
        return batch.images, targets.to(torch.float32)
