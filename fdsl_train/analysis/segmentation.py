"""``fdsl-train eval`` of a model that was trained on masks."""

import csv
import io
import logging
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fdsl_gen.core.errors import UsageError
from fdsl_gen.storage import local
from fdsl_train.analysis.figures.confusion import MOST_CLASSES, draw_confusion
from fdsl_train.analysis.figures.overlay import draw_overlay
from fdsl_train.analysis.figures.save import check_picture, new_figure
from fdsl_train.analysis.inference import Inference
from fdsl_train.data.loader import Loader
from fdsl_train.data.sampler import Sequential
from fdsl_train.data.sources.base import Source
from fdsl_train.data.workers import loader_processes
from fdsl_train.input_spec import InputSpec
from fdsl_train.models.class_labels import model_class_names, model_labels
from fdsl_train.models.pretrained import PretrainedWeights
from fdsl_train.tasks.segmentation import Overlap, class_maps
from fdsl_train.transforms import transform_for_validation
from fdsl_train.transforms.joint import as_pillow

logger = logging.getLogger(__name__)

MOST_OVERLAYS = 20


def evaluate_masks(
    inference: Inference,
    trained: PretrainedWeights,
    source: Source,
    label: str,
    *,
    report: Path | None,
    confusion: Path | None,
    overlay: Path | None,
) -> Overlap:
    """Measure a segmenter on images with masks.

    Args:
        inference: how to look.
        trained: what looks.
        source: images with masks.
        label: what they are called, and where they are.
        report: CSV file to write, a row per class.
        confusion: picture to draw of which classes are taken for which.
        overlay: folder for pictures of the first images, their masks and predictions.

    Returns:
        What was counted: ``percent(counts())`` gives the measures.

    Raises:
        UsageError: if model and images do not fit together, or a sample cannot be used.
    """
    if not source.label_type.dense:
        raise UsageError(f"{trained.name} was trained on masks, and {source.name} has labels")
    to_model = model_labels(trained, source, None)
    names = model_class_names(trained, source, to_model)
    if confusion is not None:
        check_picture(confusion)
        if len(names) > MOST_CLASSES:
            raise UsageError(f"--confusion: {MOST_CLASSES} classes are the most; --report has all")
    if overlay is not None:
        new_figure(1, 1)
    model = inference.build(trained, head=True)
    inference.announce(trained)
    score = _measure(inference, trained, model, source, to_model, names, overlay)
    measures = score.percent(score.counts())
    logger.info(
        f"mean IoU {measures['val_miou']:.2f} %, mean accuracy {measures['val_macc']:.2f} %, pixel"
        f" accuracy {measures['val_pacc']:.2f} % of {sum(source.shard_sizes)} images, {label}"
    )
    if report is not None:
        local.write(report, _table(score, names).encode())
        logger.info(f"report {report}")
    if confusion is not None:
        title = f"{label}, mean IoU {measures['val_miou']:.1f} %"
        draw_confusion(confusion, score.confusion.numpy(), names, title)
        logger.info(f"picture {confusion}")
    if overlay is not None:
        logger.info(f"pictures of the first {MOST_OVERLAYS} images at most: {overlay}")
    return score


def _measure(
    inference: Inference,
    trained: PretrainedWeights,
    model: nn.Module,
    source: Source,
    to_model: list[int],
    names: tuple[str, ...],
    overlay: Path | None,
) -> Overlap:
    side = inference.img_size or trained.architecture.img_size
    spec = InputSpec(img_size=side, **trained.inputs.settings())
    plan = Sequential(source.shard_sizes, inference.batch_size)
    loader = Loader(
        source,
        plan,
        transform_for_validation(spec, dense=True),
        seed=0,
        batches=range(plan.num_batches),
        workers=loader_processes(inference.workers),
        device=inference.torch_device,
    )
    score, table, number = Overlap(len(names)), torch.tensor(to_model), 0
    with torch.inference_mode():
        for batch in loader:
            for found, padded in zip(class_maps(model, batch, spec), batch.labels, strict=True):
                own = padded[: found.shape[0], : found.shape[1]].long().cpu()
                truth, found = torch.where(own >= 0, table[own.clamp(min=0)], own), found.cpu()
                score.update(found[own >= 0], truth[own >= 0])
                if overlay is not None and number < MOST_OVERLAYS:
                    _draw(overlay, source, number, truth.numpy(), found.numpy(), names)
                number += 1
    return score


def _draw(
    folder: Path,
    source: Source,
    number: int,
    truth: NDArray[np.int64],
    found: NDArray[np.int64],
    names: tuple[str, ...],
) -> None:
    shard, row = 0, number
    while row >= source.shard_sizes[shard]:
        row -= source.shard_sizes[shard]
        shard += 1
    image = as_pillow(source.read_sample(shard, row).image)
    own = Overlap(len(names))
    own.update(torch.from_numpy(found[truth >= 0]), torch.from_numpy(truth[truth >= 0]))
    measures = own.percent(own.counts())
    title = f"image {number}: mean IoU {measures['val_miou']:.1f} %"
    draw_overlay(folder / f"{number:06d}.png", image, truth, found, names, title)


def _table(score: Overlap, names: tuple[str, ...]) -> str:
    """CSV: a row per class and one for all, with their means."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["class", "name", "pixels", "predicted", "correct", "iou", "accuracy"])
    counts = [int(count) for count in score.counts()]
    classes = len(names)
    rows = zip(counts[:classes], counts[classes : 2 * classes], counts[2 * classes :], strict=True)
    for label, (found, said, there) in enumerate(rows):
        union = said + there - found
        iou = f"{100.0 * found / union:.2f}" if union else ""
        accuracy = f"{100.0 * found / there:.2f}" if there else ""
        writer.writerow([label, names[label], there, said, found, iou, accuracy])
    measures = score.percent(score.counts())
    sums = [sum(counts[k * classes : (k + 1) * classes]) for k in (2, 1, 0)]
    writer.writerow(
        ["all", "", *sums, f"{measures['val_miou']:.2f}", f"{measures['val_macc']:.2f}"]
    )
    return buffer.getvalue()
