"""Objectives: what a step computes from a batch."""

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from timm.data.mixup import Mixup
from torch import Tensor, nn

from fdsl_train.config import Resolved
from fdsl_train.data.loader import Batch


@dataclass(frozen=True)
class Outcome:
    """Of one step: the loss to descend, and scalars worth logging, averaged over the batch."""

    loss: Tensor
    metrics: dict[str, Tensor]


class Task(Protocol):
    """An objective."""

    def step(self, model: nn.Module, batch: Batch) -> Outcome:
        """Loss and metrics of a batch that is on the model's device already."""
        ...


class Classification:
    """Cross entropy against one label per image, with smoothing, mixup and cutmix.

    Args:
        config: the recipe; its loss settings are used.
        num_classes: width of the model's output.
    """

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

    def step(self, model: nn.Module, batch: Batch) -> Outcome:
        """See :class:`Task`. The metric ``top1`` counts the heavier label of a mixed image."""
        images, targets = self._mixed(batch)
        logits = model(images)
        loss = F.cross_entropy(logits, targets)
        hits = logits.detach().argmax(dim=1) == targets.argmax(dim=1)
        return Outcome(loss, {"top1": hits.float().mean()})

    def _mixed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Images and target distributions, float32 (B, num_classes)."""
        if self._mixup is not None:
            images, targets = self._mixup(batch.images, batch.labels)
            return images, targets
        off = self._smoothing / self._num_classes
        targets = F.one_hot(batch.labels, self._num_classes) * (1.0 - self._smoothing) + off
        return batch.images, targets.to(torch.float32)
