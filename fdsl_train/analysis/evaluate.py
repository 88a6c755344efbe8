"""``fdsl-train eval``: how good a trained classifier is on images, and on each class of them."""

import csv
import dataclasses
import io
import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fdsl_gen.core.errors import UsageError
from fdsl_gen.storage import local
from fdsl_train.analysis.calibration import Calibration
from fdsl_train.analysis.figures.confusion import MOST_CLASSES, draw_confusion
from fdsl_train.analysis.figures.robustness import draw_robustness
from fdsl_train.analysis.figures.save import check_picture
from fdsl_train.analysis.inference import Inference
from fdsl_train.analysis.robustness import Errors, Robustness, measure_robustness
from fdsl_train.analysis.segmentation import evaluate_masks
from fdsl_train.data.open import DataSpec, data_spec, open_eval
from fdsl_train.data.sources.mask_folder import MaskSpec
from fdsl_train.models.class_labels import ClassOrder, model_class_names, model_labels
from fdsl_train.tasks.segmentation import Overlap
from fdsl_train.transforms.corruption import LEAST_SIDE, Corruption, read_corruptions

logger = logging.getLogger(__name__)

_TOP = 5


class Counts:
    """What a classifier said of how many images, by their class.

    Attributes:
        images: int64 (C,).
        top1, top5: of them, those whose class was first, and among the first five; int64 (C,).
        confusion: int64 (C, C): images of class i (row) taken for class j; None if not asked for.
        calibration: gives the expected calibration error.
        robustness: errors on corrupted images; None if not asked for.
    """

    def __init__(self, num_classes: int, *, confusion: bool) -> None:
        self.images = torch.zeros(num_classes, dtype=torch.int64)
        self.top1 = torch.zeros_like(self.images)
        self.top5 = torch.zeros_like(self.images)
        self.confusion = (
            torch.zeros(num_classes, num_classes, dtype=torch.int64) if confusion else None
        )
        self.calibration = Calibration()
        self.robustness: Robustness | None = None

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
        self.calibration.update(logits, labels)

    def percent(self) -> tuple[float, float]:
        """Top-1 and top-5 over all images, percent."""
        total = int(self.images.sum())
        return 100.0 * int(self.top1.sum()) / total, 100.0 * int(self.top5.sum()) / total

    def errors(self) -> Errors:
        """Top-1 error and expected calibration error."""
        return Errors(100.0 - self.percent()[0], self.calibration.percent())


def evaluate(
    checkpoint: str | Path,
    data: str | Path | DataSpec,
    *,
    split: str | None = None,
    class_order: ClassOrder | None = None,
    report: Path | None = None,
    confusion: Path | None = None,
    corrupt: str | None = None,
    corrupt_report: Path | None = None,
    corrupt_plot: Path | None = None,
    overlay: Path | None = None,
    reduce_zero_label: bool = False,
    **how: Any,
) -> Counts | Overlap:
    """Measure a trained model: a classifier, or one trained on masks.

    Args:
        checkpoint: a run, one of its checkpoints, its ``export``, or a file of others.
        data: the images: a tree of class folders, a dataset of ours or its URL, ``torch/NAME`` or
            ``hfds/NAME``; for a model trained on masks, images with masks.
        split: which part of them; None takes the one to validate on, or what the run held out
            itself; ``train`` then is the rest, ``all`` both.
        class_order: how the model counts classes that its file does not name.
        report: CSV file to write, a row per class.
        confusion: picture to draw of which classes are taken for which.
        corrupt: corruptions of ImageNet-C to measure under: ``fog``, ``fog:3``, ``fog:1-3``,
            several with commas, or ``all``.
        corrupt_report: CSV file to write, a row per corruption.
        corrupt_plot: picture to draw of errors over severities.
        overlay: folder to draw the first images into, with their masks and what the model says.
        reduce_zero_label: of masks in folders: 0 is no class, and 1 the first one.
        how: of :class:`Inference`: ``use_ema``, ``model``, ``img_size``, ``device``,
            ``batch_size``, ``workers``.

    Returns:
        Counts by class; ``percent()`` gives top-1 and top-5, ``calibration.percent()`` the expected
        calibration error, ``robustness.mean().top1`` the mean corruption error. For masks an
        ``Overlap``, whose ``percent(counts())`` gives the measures by name.

    Raises:
        UsageError: if model and images do not fit together, or a sample cannot be used.

    Examples:
        >>> counts = evaluate("runs/photos", "photos/")
    """
    inference, where = Inference(checkpoint=Path(checkpoint), **how), data_spec(data)
    asked = _asked_corruptions(corrupt, corrupt_report, corrupt_plot)
    trained = inference.read()
    if asked and inference.side(trained) < LEAST_SIDE:
        raise UsageError(
            f"--corrupt: images of {inference.side(trained)} pixels are too small, {LEAST_SIDE} is"
            " the least; give a larger --img-size"
        )
    if trained.architecture.decoder is not None:
        if asked:
            raise UsageError(f"--corrupt is for classifiers; {trained.name} was trained on masks")
        masks = MaskSpec(num_classes=trained.num_classes, reduce_zero_label=reduce_zero_label)
        where = dataclasses.replace(where, masks=masks)
        source, label = open_eval(where, split, trained.held_out)
        return evaluate_masks(
            inference,
            trained,
            source,
            f"{label} of {where}",
            report=report,
            confusion=confusion,
            overlay=overlay,
        )
    if overlay is not None or reduce_zero_label:
        flag = "--overlay" if overlay is not None else "--reduce-zero-label"
        raise UsageError(f"{flag} is for models trained on masks; {trained.name} is a classifier")
    source, label = open_eval(where, split, trained.held_out)
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

    def measure(counts: Counts, corruption: Corruption | None = None) -> Counts:
        for logits, labels in inference.outputs(source, trained, model, corruption):
            counts.update(logits.float(), torch.tensor(to_model)[labels])
        return counts

    counts = measure(Counts(classes, confusion=confusion is not None))
    top1, top5 = counts.percent()
    images = int(counts.images.sum())
    logger.info(f"expected calibration error {counts.calibration.percent():.2f} %")
    logger.info(f"top-1 {top1:.2f} %, top-5 {top5:.2f} % of {images} images, {label} of {where}")
    if report is not None:
        local.write(report, _table(counts, names).encode())
        logger.info(f"report {report}")
    if confusion is not None:
        assert counts.confusion is not None
        title = f"{trained.name} on {label} of {where}, top-1 {top1:.2f}\N{NO-BREAK SPACE}%"
        draw_confusion(confusion, counts.confusion.numpy(), names, title)
        logger.info(f"picture {confusion}")
    if asked:
        found = measure_robustness(
            asked,
            counts.errors(),
            lambda one: measure(Counts(classes, confusion=False), one).errors(),
        )
        counts.robustness = found
        if corrupt_report is not None:
            local.write(corrupt_report, found.table().encode())
            logger.info(f"report {corrupt_report}")
        if corrupt_plot is not None:
            title = f"{label}, mean corruption error {found.mean().top1:.1f} %"
            draw_robustness(corrupt_plot, found, title)
            logger.info(f"picture {corrupt_plot}")
    return counts


def _asked_corruptions(
    text: str | None, report: Path | None, plot: Path | None
) -> list[Corruption]:
    """The corruptions to measure, and whether what is to be written of them can be."""
    if text is None:
        for flag, path in (("--corrupt-report", report), ("--corrupt-plot", plot)):
            if path is not None:
                raise UsageError(f"{flag} needs --corrupt, such as --corrupt all")
        return []
    if plot is not None:
        check_picture(plot)
    return read_corruptions(text)


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
