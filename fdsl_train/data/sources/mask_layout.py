"""Where images and their masks stand, in the spellings that datasets of this field use.

- ``images/SPLIT/...`` and ``annotations/SPLIT/...`` (or ``masks``, ``labels``), or the two without
  splits, or ``SPLIT/images`` and ``SPLIT/masks``: partners have one path but for the ending.
  ADE20k is of the first kind, an export of fdsl-gen of the last.
- Pascal VOC: ``JPEGImages``, ``SegmentationClass`` and lists in ``ImageSets/Segmentation``.
- Cityscapes: ``leftImg8bit/SPLIT/CITY`` and ``gtFine/SPLIT/CITY`` with masks ``labelTrainIds``.

Names of classes are taken from ``classes.txt``, a line each, or ADE20k's ``objectInfo150.txt``.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.json_text import read_bounded
from fdsl_train.data.sources.image_folder import HELD_OUT, TRAIN, called
from fdsl_train.data.sources.image_walk import ImageFile, folders_in, images_below

_IMAGES = ("images", "image", "imgs", "img")
_MASKS = ("annotations", "masks", "mask", "labels")
_MOST_NAMES = 1 << 20  # bytes
VOC = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat"),
    *("chair", "cow", "dining table", "dog", "horse", "motorbike", "person", "potted plant"),
    *("sheep", "sofa", "train", "tv/monitor"),
)
CITYSCAPES = (
    *("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign"),
    *("vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "train"),
    *("motorcycle", "bicycle"),
)


class Pair(NamedTuple):
    """An image, its mask, and the bytes of both files."""

    image: Path
    mask: Path
    bytes: tuple[int, int]


@dataclass(frozen=True)
class Layout:
    """Images and masks in parts.

    Attributes:
        root: folder of all files.
        name: how messages call it.
        splits: names of its parts.
        find: the pairs of a part; fails if a partner is missing.
        class_names: where they are known.
        table: uint8 (256,) from the numbers in masks to classes; None: they are the classes.
    """

    root: Path
    name: str
    splits: list[str]
    find: Callable[[str], list[Pair]] = field(repr=False)
    class_names: tuple[str, ...] | None = None
    table: NDArray[np.uint8] | None = None

    @property
    def train(self) -> str:
        """The part to train on; the only one of a layout without splits."""
        found = called(self.splits, TRAIN)
        return found[0] if found else self.splits[0]

    @property
    def validation(self) -> str | None:
        """The part to validate on, if there is one."""
        return next((name for group in HELD_OUT for name in called(self.splits, group)), None)

    def part(self, split: str) -> list[Pair]:
        """The pairs of a part, sorted.

        Raises:
            UsageError: if there is no such part, it is empty, or a partner is missing.
        """
        alike = [name for name in self.splits if name.lower() == split.lower()]
        if not alike:
            raise UsageError(f"{self.name} has no part {split}; it has {', '.join(self.splits)}")
        pairs = self.find(alike[0])
        if not pairs:
            raise UsageError(f"{self.name}: its part {alike[0]} holds no images")
        return pairs


def find_layout(root: Path) -> Layout:
    """The layout of a folder of images with masks.

    Raises:
        UsageError: if it is none of those that the head of this file names.
    """
    names = folders_in(root)
    if "JPEGImages" in names and "SegmentationClass" in names:
        return _voc(root)
    if "leftImg8bit" in names and "gtFine" in names:
        return _cityscapes(root)
    found = _class_names(root)
    images, masks = called(names, _IMAGES), called(names, _MASKS)
    if images and masks:
        above, beside = root / images[0], root / masks[0]
        splits = called(folders_in(above), (*TRAIN, *sum(HELD_OUT, ())))
        if not splits:
            return Layout(root, str(root), ["all"], lambda _: _by_stem(above, beside), found)
        return Layout(
            root, str(root), splits, lambda part: _by_stem(above / part, beside / part), found
        )
    splits = [
        name
        for name in called(names, (*TRAIN, *sum(HELD_OUT, ())))
        if called(folders_in(root / name), _IMAGES) and called(folders_in(root / name), _MASKS)
    ]
    if splits:

        def find(part: str) -> list[Pair]:
            inside = folders_in(root / part)
            places = (called(inside, kinds)[0] for kinds in (_IMAGES, _MASKS))
            image, mask = (root / part / place for place in places)
            return _by_stem(image, mask)

        return Layout(root, str(root), splits, find, found)
    raise UsageError(
        f"{root} holds no images with masks: neither images/ and annotations/ (or masks/), nor"
        " train/images and train/masks, nor the folders of Pascal VOC or Cityscapes"
    )


def pairs_of(images: list[Path], masks: list[Path]) -> list[Pair]:
    """Pairs of files that belong together by their places.

    Raises:
        UsageError: if one of them is missing.
    """
    return [
        Pair(*pair, (_size(pair[0]), _size(pair[1]))) for pair in zip(images, masks, strict=True)
    ]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None


def _by_stem(images: Path, masks: Path) -> list[Pair]:
    """Files with the same path below two folders but for the ending."""
    ours, theirs = (_stems(folder) for folder in (images, masks))
    for own, other, kind in ((ours, theirs, "mask"), (theirs, ours, "image")):
        alone = sorted(own.keys() - other.keys())
        if alone:
            where = masks if kind == "mask" else images
            raise UsageError(
                f"{own[alone[0]].path} has no {kind} {alone[0]}.* in {where}"
                f" ({len(alone)} of {len(own)} have none)"
            )
    return [
        Pair(ours[stem].path, theirs[stem].path, (ours[stem].size, theirs[stem].size))
        for stem in sorted(ours)
    ]


def _stems(folder: Path) -> dict[str, ImageFile]:
    found: dict[str, ImageFile] = {}
    for file in images_below(folder, folder.parent, Counter()):
        stem = file.path.relative_to(folder).with_suffix("").as_posix()
        if stem in found:
            raise UsageError(f"{file.path} and {found[stem].path} have one name; delete one")
        found[stem] = file
    return found


def _voc(root: Path) -> Layout:
    lists = root / "ImageSets" / "Segmentation"
    splits = sorted(path.stem for path in lists.glob("*.txt"))
    if not splits:
        raise UsageError(f"{lists} holds no lists of images, such as train.txt and val.txt")

    def find(part: str) -> list[Pair]:
        text = read_bounded(lists / f"{part}.txt", _MOST_NAMES << 6).decode(errors="replace")
        names = text.split()
        if strange := [name for name in names if not re.fullmatch(r"[\w-]+", name)]:
            raise UsageError(f"{lists / part}.txt: {strange[0][:80]!r} is no name of an image")
        return pairs_of(
            [root / "JPEGImages" / f"{name}.jpg" for name in names],
            [root / "SegmentationClass" / f"{name}.png" for name in names],
        )

    return Layout(root, str(root), splits, find, VOC)


def _cityscapes(root: Path) -> Layout:
    def find(part: str) -> list[Pair]:
        place = root / "leftImg8bit" / part
        images = [file.path for file in images_below(place, place.parent, Counter())]
        masks = []
        for image in images:
            stem = image.stem.removesuffix("_leftImg8bit")
            city = image.parent.relative_to(place)
            masks.append(root / "gtFine" / part / city / f"{stem}_gtFine_labelTrainIds.png")
        return pairs_of(images, masks)

    return Layout(root, str(root), folders_in(root / "leftImg8bit"), find, CITYSCAPES)


def _class_names(root: Path) -> tuple[str, ...] | None:
    """The names that stand beside the folders."""
    for name, column in (("classes.txt", 0), ("objectInfo150.txt", 4)):
        try:
            lines = read_bounded(root / name, _MOST_NAMES).decode(errors="replace").splitlines()
        except FileNotFoundError:
            continue
        rows = [line.split("\t") for line in lines if line.strip()]
        if column:  # the table of ADE20k has a head
            rows = [row for row in rows[1:] if len(row) > column]
        return tuple(row[column].split(",")[0].strip() if column else row[0] for row in rows)
    return None
