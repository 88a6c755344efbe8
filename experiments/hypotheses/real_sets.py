"""The real images: three sets of ten classes, 28x28, white on black; and how they are divided.

Of every class a fifth is set aside for choosing learning rates and never reported. What is left is
divided once into images to measure on and images for frozen features; every draw takes its labeled
images from the rest.
"""

import gzip
import io
import pickle
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.hypotheses.plan import Plan
from experiments.transfer import digits
from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.keys import Key, permutation

ASIDE = 0.2  # share of a class


class RealSet(NamedTuple):
    """A set: images uint8 (n, 28, 28), labels int64 (n,), 0 .. 9."""

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


def mnist() -> RealSet:
    """The digits of MNIST that the transfer evidence takes, 500 of each."""
    return RealSet("digits", *digits.mnist())


def fashion() -> RealSet:
    """Fashion-MNIST, all 70,000, from Debian's package.

    Raises:
        UsageError: if it is not installed.
    """
    folder = Path("/usr/share/datasets/fashion-mnist")
    if not folder.is_dir():
        raise UsageError("Fashion-MNIST is not here: apt-get install dataset-fashion-mnist")
    parts = ("train", "t10k")
    images = [_idx(folder / f"{part}-images-idx3-ubyte.gz", 16) for part in parts]
    labels = [_idx(folder / f"{part}-labels-idx1-ubyte.gz", 8) for part in parts]
    pixels = np.concatenate(images).reshape(-1, 28, 28)
    return RealSet("clothes", pixels, np.concatenate(labels).astype(np.int64))


def _idx(path: Path, header: int) -> NDArray[np.uint8]:
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), np.uint8)[header:]


def silhouettes() -> RealSet:
    """10,000 silhouettes of animals, 1,000 of each, from the package animal-mnist.

    Raises:
        UsageError: if it is not installed, or holds anything but arrays.
    """
    found = find_spec("animal_mnist")
    if found is None or found.origin is None:
        raise UsageError("animal-mnist is not here: pip install --no-deps animal-mnist")
    folder = Path(found.origin).parent / "data" / "Animal_MNIST"
    images, labels = (
        _array(gzip.decompress((folder / f"animal_{what}_version_3.gz").read_bytes()))
        for what in ("data", "label")
    )
    return RealSet("animals", images.reshape(-1, 28, 28).astype(np.uint8), labels.astype(np.int64))


class _ArraysOnly(pickle.Unpickler):
    """Reads arrays; nothing else that a pickle may name is looked up."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if name == "_reconstruct" and module.endswith("core.multiarray"):
            return np.ndarray.__reduce__(np.empty(0))[0]
        raise UsageError(f"animal-mnist holds {module}.{name}, and should hold arrays alone")


def _array(content: bytes) -> NDArray[Any]:
    found = _ArraysOnly(io.BytesIO(content)).load()
    if not isinstance(found, np.ndarray):
        raise UsageError("animal-mnist holds something else than arrays")
    return found


SETS: tuple[Callable[[], RealSet], ...] = (mnist, fashion, silhouettes)


class Parts(NamedTuple):
    """Numbers of the images of a set, int64."""

    aside: NDArray[np.int64]
    measured: NDArray[np.int64]
    bank: NDArray[np.int64]
    labeled: NDArray[np.int64]


def parts_of(labels: NDArray[np.int64], draw: int, plan: Plan) -> Parts:
    """The parts of a set in a draw; all but the labeled ones are those of every draw.

    Args:
        labels: of the images.
        draw: number of the draw.
        plan: how many images.

    Raises:
        UsageError: if a class has too few images.
    """
    found: list[list[NDArray[np.int64]]] = [[], [], [], []]
    for label in np.unique(labels).tolist():
        own = np.flatnonzero(labels == label)
        own = own[permutation(Key(0, "hypotheses parts", (label,)), len(own))]
        aside, rest = np.split(own, [round(ASIDE * len(own))])
        measured, bank, left = np.split(rest, [plan.measured, plan.measured + plan.bank])
        if len(left) < plan.labels:
            raise UsageError(f"class {label} has {len(own)} images, too few to be divided")
        chosen = left[permutation(Key(draw, "hypotheses draw", (label,)), len(left))[: plan.labels]]
        for part, numbers in zip(
            found, (aside[: plan.measured], measured, bank, chosen), strict=True
        ):
            part.append(numbers)
    return Parts(*(np.concatenate(part) for part in found))
