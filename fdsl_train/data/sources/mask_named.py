"""torchvision's segmentation sets by name: where their files are, and what their numbers mean."""

from pathlib import Path
from typing import Any

import numpy as np

from fdsl_gen.core.errors import UsageError
from fdsl_train.data.sources.mask_layout import CITYSCAPES, VOC, Layout, Pair, pairs_of

_NAMES = ("torch/voc_segmentation", "torch/cityscapes")


def find_named(data: Path, *, root: Path | None, download: bool) -> Layout:
    """Images and masks of a named dataset.

    Args:
        data: ``torch/voc_segmentation`` or ``torch/cityscapes``.
        root: folder of the files.
        download: fetch them from the net.

    Raises:
        UsageError: if there is no such dataset.
    """
    from torchvision import datasets  # which import PyTorch

    if str(data).lower() not in _NAMES:
        raise UsageError(
            f"{data} has no masks that can be read; of datasets by name {' and '.join(_NAMES)} have"
        )
    if root is None:
        raise UsageError(f"{data} needs --data-dir, the folder where its files are or will be")
    voc = data.parts[1].lower() == "voc_segmentation"
    if not voc and download:
        raise UsageError(f"{data} cannot be fetched: its owners ask for a login")

    def find(split: str) -> list[Pair]:
        found = _open(data, root, split, voc, download)
        masks = found.masks if voc else [targets[0] for targets in found.targets]
        pairs = pairs_of([Path(one) for one in found.images], [Path(one) for one in masks])
        return sorted(pairs)  # Cityscapes comes in the order of the file system

    if voc:
        return Layout(root, str(data), ["train", "val", "trainval"], find, VOC)
    table = np.full(256, 255, np.uint8)
    for one in datasets.Cityscapes.classes:
        if 0 <= one.train_id < len(CITYSCAPES):
            table[one.id] = one.train_id
    return Layout(root, str(data), ["train", "val"], find, CITYSCAPES, table)


def _open(data: Path, root: Path, split: str, voc: bool, download: bool) -> Any:
    from torchvision import datasets

    try:
        if voc:
            return datasets.VOCSegmentation(root, image_set=split, download=download)
        return datasets.Cityscapes(root, split=split, target_type="semantic")
    except (RuntimeError, OSError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UsageError(f"cannot open {data}: {reason}") from None
