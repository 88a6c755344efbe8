"""The corruptions of ImageNet-C, on images as a model sees them.

Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations" (ICLR 2019). They are those of ``imagecorruptions-imaug``: of the packages that have
them it is the one that is still looked after; ``imagecorruptions`` and ``imagenet-c`` ask SciPy and
scikit-image for what these no longer have. As in ImageNet-C an image is corrupted after the resize
and the center crop. The severities were chosen for 224 pixels; smaller images suffer more.
"""

import contextlib
import functools
import io
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.settings import nearest
from fdsl_train.data.sources.base import Sample
from fdsl_train.transforms import Transform
from fdsl_train.transforms.batch import AugmentedSample, Batch

SEVERITIES = range(1, 6)
LEAST_SIDE = 32  # pixels: the library takes none below

_PACKAGE = "imagecorruptions-imaug"
_UNKEYED = ("glass_blur", "impulse_noise")  # draw from the operating system unless given a seed


@dataclass(frozen=True)
class Corruption:
    """One of ImageNet-C's corruptions.

    Attributes:
        name: as in ImageNet-C, such as ``gaussian_noise``.
        severity: 1 to 5.
    """

    name: str
    severity: int

    def __str__(self) -> str:
        return f"{self.name}:{self.severity}"

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """uint8 (H, W, 3) -> the same, with sides of at least LEAST_SIDE.

        Draws come from NumPy's legacy generator: the loader sets it from a key of the sample, so
        the draws of a sample are the same for all severities.
        """
        seed: dict[str, Any] = {}
        if self.name in _UNKEYED:
            seed["seed"] = int(np.random.randint(2**31))  # noqa: NPY002 (the library's generator)
        with contextlib.redirect_stdout(io.StringIO()):  # it prints where it fills an edge
            image = _library().corrupt(pixels, self.severity, self.name, **seed)
        corrupted: NDArray[np.uint8] = np.array(image)  # some come back as Pillow's, read-only
        return corrupted


class Corrupted:
    """A transform whose images are corrupted before they are normalized.

    Args:
        inner: makes them, uint8 of one size.
        corruption: what becomes of them. Gray images become RGB first.
    """

    def __init__(self, inner: Transform, corruption: Corruption) -> None:
        self._inner, self._corruption = inner, corruption
        blank = np.zeros((LEAST_SIDE, LEAST_SIDE, 3), np.uint8)
        corruption(blank)  # compiled once, before there are worker processes

    def apply(self, sample: Sample) -> AugmentedSample:
        """See ``Transform``; the image is corrupted, uint8 (3, S, S)."""
        drawn = self._inner.apply(sample)
        pixels = drawn.pixels.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
        corrupted = torch.from_numpy(self._corruption(pixels)).permute(2, 0, 1).contiguous()
        return drawn._replace(pixels=corrupted)

    def finish(self, batch: Batch) -> Tensor:
        """See ``Transform``."""
        return self._inner.finish(batch)


def read_corruptions(text: str) -> list[Corruption]:
    """What a user asks for: ``NAME``, ``NAME:3``, ``NAME:1-3``, several with commas, or ``all``.

    Raises:
        UsageError: if it is not like that, or the library is not installed.
    """
    known: list[str] = _library().get_corruption_names()
    found: dict[Corruption, None] = {}
    for part in text.split(","):
        name, colon, levels = part.strip().partition(":")
        if name not in known and name != "all":
            raise UsageError(
                f"--corrupt: no corruption '{name}'{nearest(name, known)}; they are"
                f" {', '.join(known)}, or all"
            )
        first, dash, last = levels.partition("-") if colon else ("1", "-", "5")
        ends = (first, last if dash else first)
        if not all(end in map(str, SEVERITIES) for end in ends) or ends[0] > ends[1]:
            raise UsageError(f"--corrupt: a severity is 1 to 5, as in {name}:3 or {name}:1-3")
        for each in known if name == "all" else [name]:
            severities = range(int(ends[0]), int(ends[1]) + 1)
            found |= dict.fromkeys(Corruption(each, severity) for severity in severities)
    return sorted(found, key=lambda one: (known.index(one.name), one.severity))


@functools.cache
def _library() -> Any:
    try:
        metadata.version(_PACKAGE)  # the older package has the same name to import
    except metadata.PackageNotFoundError:
        raise UsageError(
            f'corruptions need {_PACKAGE}, which is not installed: pip install "fdsl[corrupt]"'
        ) from None
    try:
        import cv2
        import imagecorruptions
    except ImportError as error:  # a library of the system that OpenCV links to
        raise UsageError(f"corruptions need OpenCV, which cannot be loaded: {error}") from None
    cv2.setNumThreads(0)  # its threads do not survive the fork of loader processes
    return imagecorruptions
