"""A class for every pixel: cross entropy, with the Dice loss where it is asked for."""

import math
from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.extras import missing
from fdsl_train.config import Resolved
from fdsl_train.data.masks import IGNORED, OUTSIDE, as_classes
from fdsl_train.data.sources.base import Label
from fdsl_train.input_spec import InputSpec
from fdsl_train.tasks.base import Guess, Outcome
from fdsl_train.transforms.batch import Batch
from fdsl_train.transforms.windows import resized_shape, window_starts

_AT_ONCE = 8  # images for validation: the logits of more would fill the memory


class Overlap:
    """Mean intersection over union, mean and overall accuracy, over labeled pixels.

    A class counts in the mean of IoU where it was seen or said, in that of accuracies where it was
    seen; so torchmetrics and mmsegmentation have it.

    Args:
        num_classes: C.
    """

    def __init__(self, num_classes: int) -> None:
        self._confusion = torch.zeros(num_classes, num_classes, dtype=torch.int64)

    @property
    def confusion(self) -> Tensor:
        """int64 (C, C): pixels of class i (row) taken for class j."""
        return self._confusion

    def update(self, found: Tensor, labels: Tensor) -> None:
        """The labeled pixels of an image: the classes said and those that are, int64 (N,)."""
        classes = len(self._confusion)
        pairs = torch.bincount(labels * classes + found, minlength=classes * classes)
        self._confusion += pairs.view(classes, classes).cpu()

    def counts(self) -> list[float]:
        """Pixels of each class that were found, that were said, that there are."""
        sums = self._confusion.diagonal(), self._confusion.sum(dim=0), self._confusion.sum(dim=1)
        return [float(count) for count in torch.cat(sums)]

    def percent(self, counts: list[float]) -> dict[str, float]:
        """``val_miou``, ``val_macc`` (of classes) and ``val_pacc`` (of pixels) in percent."""
        found, said, there = np.array(counts).reshape(3, -1)
        union = said + there - found
        iou, accuracy = (
            float(np.mean(found[of > 0] / of[of > 0])) if (of > 0).any() else 0.0
            for of in (union, there)
        )
        pixels = float(found.sum() / max(there.sum(), 1.0))
        return {"val_miou": 100 * iou, "val_macc": 100 * accuracy, "val_pacc": 100 * pixels}

    def guess(self, counts: list[float]) -> Guess:
        """See ``Score``: every pixel of the most frequent class."""
        _, said, there = np.array(counts).reshape(3, -1)
        given = np.flatnonzero(said)
        seen = max(1, int(np.count_nonzero(there)))
        return Guess(
            percent=100.0 * float(there.max() / max(there.sum(), 1.0)) / seen,
            images=int(there.sum()),  # pixels: an IoU is no share of images
            always=int(given[0]) if len(given) == 1 else None,
        )


class Segmentation:
    """Cross entropy of every labeled pixel, and a share of Dice loss.

    Args:
        config: the recipe; mixing and erasing are for whole images.
        num_classes: C, channels of the model's output.

    Raises:
        UsageError: if the recipe mixes or erases.
    """

    name: ClassVar[str] = "segmentation"
    small_recipe: ClassVar[str] = "cpu-segment-finetune"

    def __init__(self, config: Resolved, num_classes: int) -> None:
        if config.mixes or config.aa or config.reprob > 0 or config.pixmix:
            raise UsageError(
                "mixup, cutmix, aa, reprob and pixmix are for whole images, and these have masks;"
                " use --mixup 0 --cutmix 0 --aa none --reprob 0 --pixmix none"
            )
        self._num_classes = num_classes
        self._smoothing, self._dice_weight = config.smoothing, config.dice
        self._dice = _dice() if config.dice else None
        self._spec = config.input_spec
        self._seen = torch.zeros(num_classes, dtype=torch.int64)
        self._shown = 0

    @staticmethod
    def targets(labels: Sequence[Label], num_classes: int) -> Tensor:
        """See ``Task``: int32 (B, H, W), the largest of the masks; IGNORED and OUTSIDE are below 0.

        Raises:
            UsageError: if a mask has a class that there is not.
        """
        masks = [as_classes(np.asarray(label)) for label in labels]
        height, width = (max(mask.shape[axis] for mask in masks) for axis in (0, 1))
        whole = torch.full((len(masks), height, width), OUTSIDE, dtype=torch.int32)
        for own, mask in zip(whole, masks, strict=True):
            own[: mask.shape[0], : mask.shape[1]] = torch.from_numpy(mask)
        return whole

    def step(self, model: nn.Module, batch: Batch) -> Outcome:
        """See ``Task``. The metric ``pacc`` is the share of labeled pixels that were right."""
        logits = model(batch.images)
        labels = batch.labels.long()
        # Over all pixels, those without a class as 0: so parts of a batch add up to it.
        loss = F.cross_entropy(
            logits,
            labels.clamp(min=IGNORED),
            ignore_index=IGNORED,
            label_smoothing=self._smoothing,
            reduction="sum",
        )
        loss = loss / labels.numel()
        if self._dice is not None:
            loss = loss + self._dice_weight * self._dice(logits, labels)
        labeled = labels >= 0
        self._seen += torch.bincount(labels[labeled], minlength=self._num_classes).cpu()
        self._shown += labels.numel()
        right = ((logits.detach().argmax(dim=1) == labels) & labeled).sum()
        return Outcome(loss, {"pacc": right / labeled.sum().clamp(min=1)})

    def blind_loss(self) -> float:
        """See ``Task``: the entropy of the classes as often as this process was shown them."""
        if self._shown == 0:
            return math.log(self._num_classes)
        shares = self._seen[self._seen > 0] / self._seen.sum()
        entropy = -float((shares * shares.log()).sum())
        return entropy * int(self._seen.sum()) / self._shown + self._dice_weight

    def predict(self, model: nn.Module, batch: Batch) -> Iterator[tuple[Tensor, Tensor]]:
        """See ``Task``: of an image the classes said of its labeled pixels, and theirs, (N,)."""
        for found, labels in zip(class_maps(model, batch, self._spec), batch.labels, strict=True):
            own = labels[: found.shape[0], : found.shape[1]].long()
            yield found[own >= 0], own[own >= 0]

    def score(self) -> Overlap:
        """See ``Task``."""
        return Overlap(self._num_classes)


def _dice() -> nn.Module:
    try:
        from segmentation_models_pytorch.losses import DiceLoss
    except ImportError:
        raise missing("segmentation_models_pytorch", "dice") from None
    loss: nn.Module = DiceLoss("multiclass", ignore_index=IGNORED)
    return loss


def class_maps(model: nn.Module, batch: Batch, spec: InputSpec) -> Iterator[Tensor]:
    """The most likely class of every pixel, image by image, at the size of its own mask.

    Args:
        model: on the device of the batch.
        batch: images as ``DenseEval`` makes them for ``spec``.
        spec: whole images or windows.

    Yields:
        int64 (H, W).
    """
    slides = spec.eval_mode == "slide"
    for number, labels in enumerate(batch.labels):
        if not slides and number % _AT_ONCE == 0:
            wholes = model(batch.images[number : number + _AT_ONCE]).float()
        inside = labels != OUTSIDE
        height, width = int(inside[:, 0].sum()), int(inside[0].sum())
        if slides:
            rows, columns = resized_shape(height, width, spec.short_side or spec.img_size)
            image = batch.images[number, :, :rows, :columns]
            logits = _by_windows(model, image, spec)
        else:
            logits = wholes[number % _AT_ONCE]
        size = (height, width)
        full = F.interpolate(logits[None], size=size, mode="bilinear", align_corners=False)
        yield full[0].argmax(dim=0)


def _by_windows(model: nn.Module, image: Tensor, spec: InputSpec) -> Tensor:
    """Mean logits of windows that overlap, float (C, H, W), for an image (3, H, W)."""
    side, stride = spec.img_size, spec.eval_stride or 2 * spec.img_size // 3
    _, height, width = image.shape
    total: Tensor | None = None
    times = torch.zeros(height, width, device=image.device)
    for top in window_starts(height, side, stride):
        for left in window_starts(width, side, stride):
            place = (slice(top, top + side), slice(left, left + side))
            logits = model(image[None, :, place[0], place[1]])[0].float()
            if total is None:
                total = torch.zeros(len(logits), height, width, device=image.device)
            total[:, place[0], place[1]] += logits
            times[place] += 1
    assert total is not None
    return total / times
