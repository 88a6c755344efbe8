"""Folders of image files, one folder per class, for fine-tuning.

Either a tree with ``train`` (or ``training``) beside ``val``, ``validation`` or ``test``, or a flat
tree of classes of which a share is held out.
"""

import warnings
from collections.abc import Iterable
from pathlib import Path

from PIL import Image, ImageOps

from fdsl_gen import schema
from fdsl_gen.errors import UsageError
from fdsl_gen.seeding import Key, permutation
from fdsl_train.data.source import Sample

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

    def __init__(
        self, root: Path, name: str, files: list[File], class_names: tuple[str, ...]
    ) -> None:
        self.name = name
        self.class_names: tuple[str, ...] | None = class_names
        self.num_classes = len(class_names)
        self.shard_sizes: tuple[int, ...] = (len(files),)
        self.digest = schema.digest(
            [list(class_names)]
            + [[str(path.relative_to(root)), path.stat().st_size, label] for path, label in files]
        )
        self._files = files

    def take(self, shard: int, row: int) -> Sample:
        """File ``row``; see ``Source``."""
        path, label = self._files[row]
        return Sample(read_image(path), label)


def read_image(path: Path) -> Image.Image:
    """An image file as RGB, turned as its EXIF orientation says; transparency is dropped.

    Raises:
        UsageError: if it cannot be read.
    """
    try:
        with warnings.catch_warnings(), Image.open(path) as opened:
            warnings.simplefilter("ignore")  # Pillow's remarks on odd palettes and EXIF blocks
            return ImageOps.exif_transpose(opened).convert("RGBA").convert("RGB")
    except (OSError, ValueError, SyntaxError) as error:
        raise UsageError(f"cannot read the image {path}: {error}") from None


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
        UsageError: if the tree is not of one of the two kinds.
    """
    names = _folders(root)
    train = next((root / name for name in _TRAIN if name in names), root)
    held_out = next((name for name in _HELD_OUT if name in names), None)
    if train == root and held_out is not None:
        raise UsageError(f"{root} has a folder {held_out} but no folder train")
    classes = tuple(_folders(train))
    files = _files(train, classes)
    if val_split is not None:
        if held_out is not None:
            raise UsageError(f"{root} has a folder {held_out}; leave --val-split out")
        kept, held = _split(files, len(classes), val_split, seed)
        label = f"{100 * val_split:g} % held out"
    elif held_out is None:
        raise UsageError(
            f"{root} has no folder val, validation or test; give --val-split 0.1 to hold out a"
            " tenth of it"
        )
    else:
        strangers = set(_folders(root / held_out)) - set(classes)
        if strangers:
            raise UsageError(f"{root / held_out / min(strangers)} is a class that {train} lacks")
        kept, label = files, held_out
        held = _files(root / held_out, classes, complete=False)
    return (
        FolderSource(root, str(root), kept, classes),
        FolderSource(root, f"{root} ({label})", held, classes),
        label,
    )


def _folders(path: Path) -> list[str]:
    """Names of the folders in ``path``, sorted, without hidden ones."""
    try:
        found = sorted(
            entry.name
            for entry in path.iterdir()
            if entry.is_dir() and not entry.name.startswith(".")
        )
    except OSError as error:
        raise UsageError(f"cannot read the folder {path}: {error.strerror}") from None
    if not found:
        raise UsageError(f"{path} holds no folders; images must be in one folder per class")
    return found


def _files(path: Path, classes: Iterable[str], *, complete: bool = True) -> list[File]:
    """Images below every class folder, sorted; ``complete``: each class must have some."""
    files: list[File] = []
    for label, name in enumerate(classes):
        images = sorted(
            file for file in (path / name).rglob("*") if file.suffix.lower() in _ENDINGS
        )
        if complete and not images:
            raise UsageError(f"{path / name} holds no images")
        files += [(image, label) for image in images]
    if not files:
        raise UsageError(f"{path} holds no images")
    return files


def _split(
    files: list[File], num_classes: int, share: float, seed: int
) -> tuple[list[File], list[File]]:
    """Hold out ``share`` of every class, at least one image, keeping at least one."""
    kept: list[File] = []
    held: list[File] = []
    for label in range(num_classes):
        own = [file for file in files if file[1] == label]
        if len(own) < 2:
            raise UsageError(f"{own[0][0].parent} has one image; --val-split needs two of a class")
        count = min(max(1, round(share * len(own))), len(own) - 1)
        chosen = set(permutation(Key(seed, "val split", (label,)), len(own))[:count].tolist())
        kept += [file for i, file in enumerate(own) if i not in chosen]
        held += [file for i, file in enumerate(own) if i in chosen]
    return kept, held
