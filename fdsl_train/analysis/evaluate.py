"""``fdsl-train eval``: how good a trained classifier is on images, and on each class of them."""

import csv
import io
import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fdsl_gen.core.errors import UsageError
from fdsl_gen.storage import local
from fdsl_train.analysis.figures.confusion import MOST_CLASSES, draw_confusion
from fdsl_train.analysis.figures.save import check_picture
from fdsl_train.analysis.inference import Inference
from fdsl_train.data.open import DataSpec, data_spec, open_eval
from fdsl_train.models.class_labels import ClassOrder, model_class_names, model_labels

logger = logging.getLogger(__name__)

_TOP = 5


class Counts:
    """What a classifier said of how many images, by their class.

    Attributes:
        images: int64 (C,).
        top1, top5: of them, those whose class was first, and among the first five; int64 (C,).
        confusion: int64 (C, C): images of class i (row) taken for class j; None if not asked for.
    """

    def __init__(self, num_classes: int, *, confusion: bool) -> None:
        self.images = torch.zeros(num_classes, dtype=torch.int64)
        self.top1 = torch.zeros_like(self.images)
        self.top5 = torch.zeros_like(self.images)
        self.confusion = (
            torch.zeros(num_classes, num_classes, dtype=torch.int64) if confusion else None
        )

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """A batch: logits float (B, C), labels int64 (B,)."""
        best = logits.topk(min(_TOP, logits.shape[1]), dim=1).indices
        hits = best == labels[:, None]
        classes = len(self.images)
        self.images += torch.bincount(labels, minlength=classes)
        self.top1 += torch.bincount(labels[hits[:, 0]], minlength=classes)
        self.top5 += torch.bincount(labels[hits.any(dim=1)], minlength=classes)
        if self.confusion is not None:
            pairs = torch.bincount(labels * classes + best[:, 0], minlength=classes * classes)
            self.confusion += pairs.view(classes, classes)

    def percent(self) -> tuple[float, float]:
        """Top-1 and top-5 over all images, percent."""
        total = int(self.images.sum())
        return 100.0 * int(self.top1.sum()) / total, 100.0 * int(self.top5.sum()) / total


def evaluate(
    checkpoint: str | Path,
    data: str | Path | DataSpec,
    *,
    split: str | None = None,
    class_order: ClassOrder | None = None,
    report: Path | None = None,
    confusion: Path | None = None,
    **how: Any,
) -> Counts:
    """Measure a trained classifier.

    Args:
        checkpoint: a run, one of its checkpoints, its ``export``, or a file of others.
        data: the images: a tree of class folders, a dataset of ours or its URL, ``torch/NAME`` or
            ``hfds/NAME``.
        split: which part of them; None takes the one to validate on.
        class_order: how the model counts classes that its file does not name.
        report: CSV file to write, a row per class.
        confusion: picture to draw of which classes are taken for which.
        how: of :class:`Inference`: ``use_ema``, ``model``, ``img_size``, ``device``,
            ``batch_size``, ``workers``.

    Returns:
        Counts by class; ``percent()`` gives top-1 and top-5.

    Raises:
        UsageError: if model and images do not fit together, or a sample cannot be used.

    >>> top1, top5 = evaluate("runs/photos", "photos/").percent()
    """
    inference, where = Inference(checkpoint=Path(checkpoint), **how), data_spec(data)
    trained = inference.read()
    source, label = open_eval(where, split)
    to_model = model_labels(trained, source, class_order)
    names = model_class_names(trained, source, to_model)
    model = inference.build(trained, head=True)
    classes = len(names)
    if confusion is not None:
        check_picture(confusion)
        if classes > MOST_CLASSES:
            raise UsageError(
                f"--confusion: a picture of {classes} classes cannot be read; {MOST_CLASSES} is the"
                " most, --report has all"
            )
    inference.announce(trained)
    counts = Counts(classes, confusion=confusion is not None)
    for logits, labels in inference.outputs(source, trained, model):
        counts.update(logits.float(), torch.tensor(to_model)[labels])
    top1, top5 = counts.percent()
    images = int(counts.images.sum())
    logger.info(f"top-1 {top1:.2f} %, top-5 {top5:.2f} % of {images} images, {label} of {where}")
    if report is not None:
        local.write(report, _table(counts, names).encode())
        logger.info(f"report {report}")
    if confusion is not None:
        assert counts.confusion is not None
        draw_confusion(confusion, counts.confusion.numpy(), names, f"{label}, top-1 {top1:.1f} %")
        logger.info(f"picture {confusion}")
    return counts


def _table(counts: Counts, names: tuple[str, ...]) -> str:
    """CSV: a row per class and one for all, whose counts are the sums of those above."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["class", "name", "images", "correct_top1", "correct_top5", "top1", "top5"])
    rows = zip(counts.images.tolist(), counts.top1.tolist(), counts.top5.tolist(), strict=True)
    for label, (images, top1, top5) in enumerate(rows):
        shares = [f"{100.0 * hits / images:.2f}" if images else "" for hits in (top1, top5)]
        writer.writerow([label, names[label], images, top1, top5, *shares])
    sums = [int(column.sum()) for column in (counts.images, counts.top1, counts.top5)]
    writer.writerow(["all", "", *sums, *(f"{value:.2f}" for value in counts.percent())])
    return buffer.getvalue()
