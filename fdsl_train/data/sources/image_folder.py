"""Folders of image files, one folder per class, for fine-tuning.

Either a tree with ``train`` (or ``training``) beside ``val``, ``validation`` or ``test``, in
capitals or not, or a flat tree of classes of which a share is held out.
"""

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from fdsl_gen.core import settings
from fdsl_gen.core.errors import UsageError
from fdsl_train.data.holdout import held_out_of
from fdsl_train.data.sources.base import Sample

_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff"})
_ENDINGS |= {".webp"}
_TRAIN = ("train", "training")
_HELD_OUT = ("val", "validation", "test")  # in the order of preference

File = tuple[Path, int]  # an image and its label


class FolderSource:
    """Image files with labels; see ``Source`` for the attributes.

    Args:
        root: folder that ``files`` are below.
        name: how messages call it.
        files: images and labels.
        class_names: by label.
    """

    labels: Literal["single", "multi"] = "single"
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
            + [[str(path.relative_to(root)), path.stat().st_size, label] for path, label in files]
        )
        self._files = files

    def take(self, shard: int, row: int) -> Sample:
        """File ``row``; see ``Source``."""
        path, label = self._files[row]
        return Sample(read_image(path), label)

    def prefetch(self, shards: Sequence[int]) -> None:
        """Nothing to do: the files are near."""


def read_image(path: Path) -> Image.Image:
    """An image file as RGB, turned as its EXIF orientation says; transparency is dropped.

    Raises:
        UsageError: if it cannot be read.
    """
    try:
        with Image.open(path) as opened:
            return upright_rgb(opened)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UsageError(f"cannot read the image {path}: {error}") from None


def upright_rgb(image: Image.Image) -> Image.Image:
    """An image of any mode as RGB, turned as its EXIF orientation says; transparency is dropped."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on odd palettes and EXIF blocks
        return ImageOps.exif_transpose(image).convert("RGBA").convert("RGB")


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
    files = _files(tree.train, tree.classes)
    if val_split is not None:
        if tree.held_out:
            raise UsageError(f"{root} has a folder {tree.held_out[0]}; leave --val-split out")
        labels = [label for _, label in files]
        keep, hold = held_out_of(labels, val_split, seed, tree.classes)
        kept, held = [files[i] for i in keep], [files[i] for i in hold]
        label = f"{100 * val_split:g} % held out"
    elif not tree.held_out:
        raise UsageError(
            f"{root} has no folder val, validation or test; give --val-split 0.1 to hold out a"
            " tenth of it"
        )
    else:
        label = tree.held_out[0]
        kept, held = files, tree.files_in(root / label)
    return (
        FolderSource(root, str(root), kept, tree.classes),
        FolderSource(root, f"{root} ({label})", held, tree.classes),
        label,
    )


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
                f"{root} has no folder val, validation or test; --split {tree.train.name} measures"
                " on the training images"
            )
        return FolderSource(root, str(root), _files(root, tree.classes), tree.classes), "all images"
    label = split or tree.held_out[0]
    if label not in tree.splits:
        known = ", ".join(tree.splits) or "no splits"
        raise UsageError(f"{root} has no folder {label}; it has {known}")
    held = tree.files_in(root / label)
    return FolderSource(root, f"{root} ({label})", held, tree.classes), label


class _Tree:
    """What the folders of a tree mean.

    Attributes:
        splits: names of its split folders, if it has any.
        held_out: those of them to validate on, the preferred first.
        train: the folder of the training part; the root of a flat tree.
        classes: names, by label.
    """

    def __init__(self, root: Path) -> None:
        names = {name.lower(): name for name in _folders(root)}
        self.held_out = [names[name] for name in _HELD_OUT if name in names]
        trains = [names[name] for name in _TRAIN if name in names]
        if not self.held_out:  # CIFAR-100 and VOC have a class "train", which holds no folders
            trains = [name for name in trains if _subfolders(root / name)]
        if self.held_out and not trains:
            raise UsageError(f"{root} has a folder {self.held_out[0]} but no folder train")
        self.splits = trains + self.held_out
        self.train = root / trains[0] if trains else root
        self.classes = tuple(_folders(self.train))
        if len(self.classes) < 2:
            raise UsageError(
                f"{self.train} has one class only, {self.classes[0]}; a classifier needs two"
            )

    def files_in(self, folder: Path) -> list[File]:
        """Images of another part, by the classes of the training part."""
        strangers = set(_folders(folder)) - set(self.classes)
        if strangers:
            raise UsageError(f"{folder / min(strangers)} is a class that {self.train} lacks")
        return _files(folder, self.classes, complete=False)


def _folders(path: Path) -> list[str]:
    """Names of the folders in ``path``; there must be some."""
    found = _subfolders(path)
    if not found:
        raise UsageError(f"{path} holds no folders; images must be in one folder per class")
    return found


def _subfolders(path: Path) -> list[str]:
    """Names of the folders in ``path``, sorted, without hidden ones."""
    try:
        return sorted(
            entry.name
            for entry in path.iterdir()
            if entry.is_dir() and not entry.name.startswith(".")
        )
    except OSError as error:
        raise UsageError(f"cannot read the folder {path}: {error.strerror}") from None


def _files(path: Path, classes: Iterable[str], *, complete: bool = True) -> list[File]:
    """Images below every class folder, sorted; ``complete``: each class must have some."""
    files: list[File] = []
    for label, name in enumerate(classes):
        images = sorted(
            file
            for file in (path / name).rglob("*")
            if file.suffix.lower() in _ENDINGS and not file.name.startswith(".")
        )
        if complete and not images:
            raise UsageError(f"{path / name} holds no images")
        files += [(image, label) for image in images]
    if not files:
        raise UsageError(f"{path} holds no images")
    return files
