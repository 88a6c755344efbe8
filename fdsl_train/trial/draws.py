"""A folder of pictures, divided: a part to choose learning rates on, and draws to report.

The first part is set aside once and never reported. Each draw divides what is left into images to
learn from and images to measure on, and takes the first so many labels of the former.
"""

import math
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.keys import Key, permutation
from fdsl_train.data.sources.image_folder import read_image, training_images

ASIDE = 0.2  # share of every class to choose learning rates on
_MEASURED = 0.5  # share of the rest that a draw measures on ...
_MOST_MEASURED = 2000  # ... but not more images than this, over all classes
_LEAST = 5  # images of a class


@dataclass(frozen=True)
class Pictures:
    """Images of a folder, made small.

    Attributes:
        folder: where the small copies are, ``NUMBER.png``.
        labels: by number.
        classes: names, by label.
    """

    folder: Path
    labels: list[int]
    classes: tuple[str, ...]

    def members(self) -> list[list[int]]:
        """Numbers of the images of every class."""
        found: list[list[int]] = [[] for _ in self.classes]
        for number, label in enumerate(self.labels):
            found[label].append(number)
        return found

    def file(self, number: int) -> Path:
        """The copy of an image."""
        return self.folder / f"{number:06d}.png"


@dataclass(frozen=True)
class Parts:
    """Numbers of images: to learn from and to measure on."""

    train: list[int]
    val: list[int]


def small_copies(root: Path, folder: Path, side: int) -> Pictures:
    """Copies of all images with a shorter side of ``side`` pixels, made once.

    So every run reads small files, however large the photographs are.

    Raises:
        UsageError: if an image cannot be read, or a class has too few.
    """
    files, labels, classes = training_images(root)
    pictures = Pictures(folder, labels, classes)
    for name, own in zip(classes, pictures.members(), strict=True):
        if len(own) < _LEAST:
            raise UsageError(
                f"the class {name} has {len(own)} images; a trial needs {_LEAST} of each, to learn"
                " from, to choose learning rates on and to measure on"
            )
    if folder.is_dir():
        return pictures
    fresh = folder.with_name(f"{folder.name}.tmp")
    shutil.rmtree(fresh, ignore_errors=True)  # left by a run that was killed here
    fresh.mkdir(parents=True)
    for number, path in enumerate(files):
        image = read_image(path)
        factor = side / min(image.size)
        if factor < 1:
            size = [max(side, round(length * factor)) for length in image.size]
            image = image.resize((size[0], size[1]), Image.Resampling.LANCZOS)
        image.save(fresh / f"{number:06d}.png")
    fresh.rename(folder)
    return pictures


def _divide(pictures: Pictures, draw: int) -> tuple[list[list[int]], list[list[int]]]:
    """By class: numbers to choose on, and the others in the order of the draw."""
    aside, others = [], []
    for label, own in enumerate(pictures.members()):
        shuffled = permutation(Key(0, "trial aside", (label,)), len(own))
        count = max(1, round(ASIDE * len(own)))
        aside.append([own[i] for i in shuffled[:count]])
        rest = [own[i] for i in shuffled[count:]]
        order = permutation(Key(draw, "trial draw", (label,)), len(rest))
        others.append([rest[i] for i in order])
    return aside, others


def parts_of(pictures: Pictures, draw: int, labels: int | None) -> Parts:
    """What a draw learns from and measures on.

    Args:
        pictures: all of them.
        draw: number of the draw.
        labels: images of a class to learn from, at most; None: all that are not measured on.
    """
    _, others = _divide(pictures, draw)
    most = max(1, _MOST_MEASURED // len(pictures.classes))
    train, val = [], []
    for own in others:
        measured = min(most, math.floor(_MEASURED * len(own)))
        val += own[:measured]
        train += own[measured:][:labels]
    return Parts(train, val)


def choosing_parts(pictures: Pictures, labels: int | None) -> Parts:
    """The images that draw 0 learns from, measured on the part that no draw reports."""
    aside, _ = _divide(pictures, 0)
    most = max(1, _MOST_MEASURED // len(pictures.classes))
    return Parts(parts_of(pictures, 0, labels).train, [n for own in aside for n in own[:most]])


def write_parts(folder: Path, pictures: Pictures, parts: Parts) -> None:
    """Write ``train/CLASS`` and ``val/CLASS``, links to the copies; what is there is complete."""
    if folder.is_dir():
        return
    fresh = folder.with_name(f"{folder.name}.tmp")
    shutil.rmtree(fresh, ignore_errors=True)
    for split, numbers in vars(parts).items():
        for number in numbers:
            home = fresh / split / pictures.classes[pictures.labels[number]]
            home.mkdir(parents=True, exist_ok=True)
            source = pictures.file(number).resolve()
            (home / source.name).symlink_to(os.path.relpath(source, folder.resolve() / split / "c"))
    fresh.rename(folder)
