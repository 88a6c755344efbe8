"""Image files with masks beside them; ``mask_layout`` says where they may be."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.archive.label_types import SEGMENTATION, LabelType
from fdsl_gen.core import image_files, settings
from fdsl_gen.core.errors import UsageError
from fdsl_train.data.holdout import held_out_of
from fdsl_train.data.masks import Mask, check_classes, fill_of
from fdsl_train.data.sources.base import Sample
from fdsl_train.data.sources.image_folder import read_image
from fdsl_train.data.sources.mask_layout import Layout, Pair


@dataclass(frozen=True, kw_only=True)
class MaskSpec:
    """How the numbers in mask files are read.

    Attributes:
        num_classes: the classes are below it; None: what names or layout say, or else the highest
            number in the training masks.
        reduce_zero_label: 0 is no class, and 1 the first one.
    """

    num_classes: int | None = None
    reduce_zero_label: bool = False

    def classes_of(self, numbers: Mask, table: NDArray[np.uint8] | None = None) -> Mask:
        """The classes for the numbers of a mask file, (H, W).

        Args:
            numbers: as they stand in the file.
            table: uint8 (256,) from them to classes, for layouts that have one.
        """
        if table is not None and numbers.dtype == np.uint8:
            numbers = table[numbers]
        if not self.reduce_zero_label:
            return numbers
        fill = fill_of(numbers)
        reduced = numbers - np.ones((), numbers.dtype)  # 0 becomes the highest number
        reduced[numbers == fill] = fill
        return reduced


class MaskSource:
    """Image files and their masks; see ``Source`` for the attributes.

    Args:
        name: how messages call it.
        root: folder that the files are below.
        pairs: images and masks.
        spec: how masks are read; its ``num_classes`` is known.
        layout: gives names and table.
    """

    label_type: LabelType = SEGMENTATION
    views: NDArray[np.int64] | None = None

    def __init__(
        self, name: str, root: Path, pairs: list[Pair], spec: MaskSpec, layout: Layout
    ) -> None:
        assert spec.num_classes is not None
        self.name = name
        self.num_classes = spec.num_classes
        names = layout.class_names
        self.class_names = names if names is not None and len(names) == self.num_classes else None
        self.shard_sizes: tuple[int, ...] = (len(pairs),)
        self._spec, self._table, self._pairs = spec, layout.table, pairs
        self.digest = settings.digest(
            [[str(path.relative_to(root)) for path in pair[:2]] + [pair.bytes] for pair in pairs]
            + [self.num_classes, spec.reduce_zero_label]
        )

    def read_sample(self, shard: int, row: int) -> Sample:
        """Pair ``row``; see ``Source``."""
        pair = self._pairs[row]
        image = read_image(pair.image)
        mask = self._spec.classes_of(image_files.read_levels(pair.mask), self._table)
        if mask.shape != (image.height, image.width):
            raise UsageError(
                f"the mask {pair.mask} has {mask.shape[1]}x{mask.shape[0]} pixels, its image"
                f" {pair.image} {image.width}x{image.height}"
            )
        check_classes(mask, self.num_classes, f"the mask {pair.mask}")
        return Sample(image, mask)

    def prefetch(self, shards: Sequence[int]) -> None:
        """Nothing to do: the files are near."""


def divide(
    layout: Layout, spec: MaskSpec, *, val_split: float | None, seed: int
) -> tuple[MaskSource, MaskSource, str]:
    """The training and the validation part of images with masks.

    Args:
        layout: where they are.
        spec: how masks are read.
        val_split: share to hold out, where there is no validation part.
        seed: chooses which.

    Returns:
        Training part, validation part, and what the latter is called.

    Raises:
        UsageError: if there is no part to validate on, a partner is missing, or a mask cannot be
            read.
    """
    train = layout.part(layout.train)
    held_out = layout.validation
    if val_split is not None and held_out is not None:
        raise UsageError(
            f"{layout.name} has a part {held_out} to validate on; leave --val-split out"
        )
    if held_out is not None:
        kept, held, label = train, layout.part(held_out), held_out
    elif val_split is not None:
        keep, hold = held_out_of([0] * len(train), val_split, seed, [str(layout.root)])
        kept, held = [train[i] for i in keep], [train[i] for i in hold]
        label = f"{100 * val_split:g} % held out"
    else:
        raise UsageError(
            f"{layout.name} has no part to validate on; give --val-split 0.1 to hold out a tenth"
        )
    known = _counted(layout, spec, kept)
    return (
        MaskSource(layout.name, layout.root, kept, known, layout),
        MaskSource(f"{layout.name} ({label})", layout.root, held, known, layout),
        label,
    )


def part_of(layout: Layout, spec: MaskSpec, split: str | None) -> tuple[MaskSource, str]:
    """One part of images with masks, to measure on, and its name; see :func:`divide`."""
    label = split or layout.validation or layout.train
    pairs = layout.part(label)
    known = _counted(layout, spec, pairs)
    return MaskSource(f"{layout.name} ({label})", layout.root, pairs, known, layout), label


def _counted(layout: Layout, spec: MaskSpec, pairs: list[Pair]) -> MaskSpec:
    """The spec with a number of classes."""
    count = spec.num_classes
    if count is None and layout.class_names is not None:
        count = len(layout.class_names)
    if count is None:
        count = 1 + max(_highest(pair, spec, layout) for pair in pairs)
        if count < 2:
            raise UsageError(
                f"the masks of {layout.name} hold fewer than two classes; segmentation needs two"
            )
    return MaskSpec(num_classes=count, reduce_zero_label=spec.reduce_zero_label)


def _highest(pair: Pair, spec: MaskSpec, layout: Layout) -> int:
    mask = spec.classes_of(image_files.read_levels(pair.mask), layout.table)
    labeled = mask[mask != fill_of(mask)]
    return int(labeled.max()) if labeled.size else -1
