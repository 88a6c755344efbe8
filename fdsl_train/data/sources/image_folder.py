"""Folders of image files, one folder per class, for fine-tuning.

Either a tree with a training folder beside one to validate on (the names are below, in capitals or
not), or a flat tree of classes of which a share is held out.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fdsl_gen.archive.label_types import SINGLE, LabelType
from fdsl_gen.core import image_files, settings
from fdsl_gen.core.errors import UsageError
from fdsl_train.data.holdout import held_out_of
from fdsl_train.data.sources.base import Sample
from fdsl_train.data.sources.image_walk import ImageFile, folders_in, images_below

logger = logging.getLogger(__name__)

TRAIN = ("train", "training")
# In the order of preference; those of a group mean the same part.
HELD_OUT = (("val", "valid", "validation"), ("test", "testing"))
_HELD_OUT_NAMES = "val, valid, validation, test or testing"

File = tuple[ImageFile, int]  # an image and its label


class FolderSource:
    """Image files with labels; see ``Source`` for the attributes.

    Args:
        root: folder that ``files`` are below.
        name: how messages call it.
        files: images and labels.
        class_names: by label.
    """

    label_type: LabelType = SINGLE
    views: NDArray[np.int64] | None = None

    def __init__(
        self, root: Path, name: str, files: list[File], class_names: tuple[str, ...]
    ) -> None:
        self.name = name
        self.class_names: tuple[str, ...] | None = class_names
        self.num_classes = len(class_names)
        self.shard_sizes: tuple[int, ...] = (len(files),)
        self.digest = settings.digest(
            [list(class_names)]
            + [[str(file.path.relative_to(root)), file.size, label] for file, label in files]
        )
        self._files = files

    def read_sample(self, shard: int, row: int) -> Sample:
        """File ``row``; see ``Source``."""
        file, label = self._files[row]
        return Sample(read_image(file.path), label)

    def prefetch(self, shards: Sequence[int]) -> None:
        """Nothing to do: the files are near."""


def read_image(path: Path) -> Image.Image:
    """An image file as gray (mode ``L``) or RGB, upright; transparency is dropped.

    Raises:
        UsageError: if it cannot be read.
    """
    return without_alpha(image_files.read_image(path))


def without_alpha(image: Image.Image) -> Image.Image:
    """An image of 8 bits a channel, gray as one channel and others as RGB."""
    wanted = "L" if image.mode in ("L", "LA") else "RGB"
    return image if image.mode == wanted else image.convert(wanted)


def open_folders(
    root: Path, *, val_split: float | None, seed: int
) -> tuple[FolderSource, FolderSource, str]:
    """The training and the validation part of a tree of images.

    Args:
        root: see the head of this file.
        val_split: share of every class to hold out, where the tree has no validation folder.
        seed: chooses which.

    Returns:
        Training part, validation part, and what the latter is called.

    Raises:
        UsageError: if the tree is not of one of the two kinds, or has fewer than two classes.
    """
    tree = _Tree(root)
    if val_split is not None and (existing := tree.with_classes()):
        raise UsageError(f"{root} has a folder {existing[0]} to validate on; leave --val-split out")
    files = tree.files_in(tree.train, complete=True)
    if val_split is not None:
        labels = [label for _, label in files]
        keep, hold = held_out_of(labels, val_split, seed, tree.classes)
        kept, held = [files[i] for i in keep], [files[i] for i in hold]
        label = f"{100 * val_split:g} % held out"
    elif not tree.held_out:
        raise UsageError(
            f"{root} has no folder {_HELD_OUT_NAMES}; give --val-split 0.1 to hold out a tenth of"
            " it"
        )
    else:
        label = tree.validation()
        kept, held = files, tree.files_in(root / label)
    return (
        FolderSource(root, str(root), kept, tree.classes),
        FolderSource(root, f"{root} ({label})", held, tree.classes),
        label,
    )


def training_images(root: Path) -> tuple[list[Path], list[int], tuple[str, ...]]:
    """The images of the training part of a tree, or of all of a flat one.

    Returns:
        Files, their labels, and the names of the classes.

    Raises:
        UsageError: as :func:`open_folders`.
    """
    tree = _Tree(root)
    files = tree.files_in(tree.train, complete=True)
    return [file.path for file, _ in files], [label for _, label in files], tree.classes


def is_flat(root: Path) -> bool:
    """Whether a tree has no folder to validate on.

    Raises:
        UsageError: as :func:`open_folders`.
    """
    return not _Tree(root).with_classes()


def open_folder(root: Path, split: str | None) -> tuple[FolderSource, str]:
    """One part of a tree of images, to measure on.

    Args:
        root: see the head of this file.
        split: a folder in it; None takes the validation folder, or all of a flat tree.

    Returns:
        The part, and what it is called.

    Raises:
        UsageError: if there is no such folder, or it has a class that the training part lacks.
    """
    tree = _Tree(root)
    if split is None and not tree.held_out:
        if tree.train != root:
            raise UsageError(
                f"{root} has no folder {_HELD_OUT_NAMES}; --split {tree.train.name} measures on the"
                " training images"
            )
        files = tree.files_in(root, complete=True)
        return FolderSource(root, str(root), files, tree.classes), "all images"
    label = tree.validation() if split is None else tree.split(split)
    held = tree.files_in(root / label)
    return FolderSource(root, f"{root} ({label})", held, tree.classes), label


class _Tree:
    """What the folders of a tree mean.

    Attributes:
        root: of the tree.
        held_out: names of the folders to validate on, the preferred first.
        splits: names of all its split folders.
        train: the folder of the training part; the root of a flat tree.
        classes: names, by label.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        names = _folders(root)
        held_out = [name for group in HELD_OUT for name in called(names, group)]
        trains = called(names, TRAIN)
        if not held_out:  # CIFAR-100 and VOC have a class "train", which holds no folders
            trains = [name for name in trains if folders_in(root / name)]
        if held_out and not trains:
            raise UsageError(
                f"{root} has a folder {held_out[0]} but no folder train; if {held_out[0]} is a"
                " class, rename it"
            )
        _one_of(root, trains)
        self.held_out = held_out
        self.splits = trains + held_out
        self.train = root / trains[0] if trains else root
        self.classes = tuple(_folders(self.train))
        if len(self.classes) < 2:
            raise UsageError(
                f"{self.train} has one class only, {self.classes[0]}; a classifier needs two"
            )

    def with_classes(self) -> list[str]:
        """Those folders to validate on that hold folders; images without labels may hold none."""
        return [name for name in self.held_out if folders_in(self.root / name)]

    def validation(self) -> str:
        """The folder to validate on.

        Raises:
            UsageError: if two of them may be meant.
        """
        group = next(group for group in HELD_OUT if called(self.held_out, group))
        found = called(self.held_out, group)
        _one_of(self.root, found)
        return found[0]

    def split(self, name: str) -> str:
        """The split folder that a user calls so, in capitals or not.

        Raises:
            UsageError: if there is none.
        """
        if name in self.splits:
            return name
        alike = [known for known in self.splits if known.lower() == name.lower()]
        if not alike:
            known = ", ".join(self.splits) or "no splits"
            raise UsageError(f"{self.root} has no folder {name}; it has {known}")
        return alike[0]

    def files_in(self, folder: Path, *, complete: bool = False) -> list[File]:
        """Images of a part, by the classes of the training part.

        Args:
            folder: of the part.
            complete: whether every class must have some.

        Raises:
            UsageError: if the part has a class that the training part lacks, or no images.
        """
        strangers = set(_folders(folder)) - set(self.classes)
        if strangers:
            raise UsageError(f"{folder / min(strangers)} is a class that {self.train} lacks")
        files: list[File] = []
        unread = Counter[str]()
        for label, name in enumerate(self.classes):
            place = folder / name
            images = images_below(place, self.root, unread) if complete or place.is_dir() else []
            if complete and not images:
                raise UsageError(f"{place} holds no images ({image_files.KINDS})")
            files += [(image, label) for image in images]
        if not files:
            raise UsageError(f"{folder} holds no images ({image_files.KINDS})")
        if unread:
            kinds = ", ".join(f"{count:,} {ending}" for ending, count in sorted(unread.items()))
            logger.info(
                f"{folder}: passed over {unread.total():,} pictures of kinds that are not read"
                f" ({kinds}); convert them to PNG or JPEG to use them"
            )
        return files


def called(names: Iterable[str], meant: Sequence[str]) -> list[str]:
    """Those names that are one of ``meant`` in capitals or not, in the order of ``meant``."""
    found = [name for name in names if name.lower() in meant]
    return sorted(found, key=lambda name: (meant.index(name.lower()), name))


def _one_of(root: Path, names: Sequence[str]) -> None:
    if len(names) > 1:
        raise UsageError(
            f"{root} has the folders {' and '.join(names)}, which mean the same part; rename or"
            " delete all but one"
        )


def _folders(path: Path) -> list[str]:
    """Names of the folders in ``path``; there must be some."""
    found = folders_in(path)
    if not found and next(path.glob("ILSVRC2012_val_*"), None) is not None:
        raise UsageError(
            f"{path} holds the validation images of ImageNet as they are given out, without their"
            " classes; move each into a folder of its class, which LOC_val_solution.csv (Kaggle)"
            " names for every file; valprep.sh of github.com/soumith/imagenetloader.torch does so"
        )
    if not found:
        raise UsageError(f"{path} holds no folders; images must be in one folder per class")
    return found
