"""PixMix: pictures that mean nothing are mixed into training images, whose labels stay.

Hendrycks et al., "PixMix: Dreamlike Pictures Comprehensively Improve Safety Measures" (CVPR 2022,
arXiv 2112.05135). An image, or an augmented copy of it, is mixed up to k times with another
augmented copy or with a picture, by addition or multiplication, and clipped to 0..1 each time. The
weights follow the authors' code (andyzoujm/pixmix). The operations of copies are their nine, none
of which is a corruption of ImageNet-C, done by timm: it rotates and shifts by fractions of degrees
and pixels where theirs rounds. Ours: the result has 8 bits a channel, like all images until they
are normalized; a gray image stays gray if what it is mixed with is gray.
"""

import random
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from timm.data.auto_augment import AugmentOp
from torch import Tensor

from fdsl_train.config import Resolved
from fdsl_train.data.sources.base import Pictures

_OPERATIONS = (
    *("AutoContrast", "Equalize", "PosterizeIncreasing", "Rotate", "SolarizeIncreasing"),
    *("ShearX", "ShearY", "TranslateXRel", "TranslateYRel"),
)
_LEAST_LEVEL = 0.1  # of an operation; the highest is pixmix_severity
_MARGIN = 8 / 7  # a picture's shorter side before its random crop: 256 pixels for 224
_TINY = np.float32(1e-37)  # instead of black, which has no negative power

Pixels = NDArray[np.uint8]


class Round(NamedTuple):
    """One mixing.

    Attributes:
        copy: whether with an augmented copy of the image, instead of the picture.
        multiply: whether by multiplication, instead of addition.
        a, b: weights (exponents, in a multiplication) of what there is and of what comes.
    """

    copy: bool
    multiply: bool
    a: float
    b: float


class Mixing(NamedTuple):
    """What is drawn for an image.

    Attributes:
        from_copy: whether to begin with an augmented copy.
        rounds: in their order.
    """

    from_copy: bool
    rounds: tuple[Round, ...]


def sample_mixing(k: int, beta: float) -> Mixing:
    """Draw from Python's generator, which the loader sets from a key of the sample.

    Args:
        k: most rounds; their number is uniform.
        beta: the higher, the more of the image is kept.
    """
    from_copy = random.random() < 0.5
    rounds = []
    for _ in range(random.randrange(k + 1)):
        copy, multiply = random.random() < 0.5, random.random() < 0.5
        if random.random() < 0.5:
            a, b = random.betavariate(beta, 1), random.betavariate(1, beta)
        else:
            a, b = 1 + random.betavariate(1, beta), -random.betavariate(1, beta)
        rounds.append(Round(copy, multiply, a, b))
    return Mixing(from_copy, tuple(rounds))


def mix(start: Pixels, others: Sequence[Pixels], rounds: Sequence[Round]) -> Pixels:
    """Mix images, in float32.

    Args:
        start: uint8 (H, W, C), C = 1 or 3.
        others: of the same size, one for each round; one channel counts for three.
        rounds: how.

    Returns:
        uint8 (H, W, C), C = 1 if all have one channel.
    """
    mixed = start.astype(np.float32) / np.float32(255)
    for other, (_, multiply, a, b) in zip(others, rounds, strict=True):
        share = other.astype(np.float32) / np.float32(255)
        weight, coming = np.float32(a), np.float32(b)
        if multiply:
            powers = (2 * mixed) ** weight * np.maximum(2 * share, _TINY) ** coming
            mixed = powers / 2
        else:
            mixed = (weight * (2 * mixed - 1) + coming * (2 * share - 1) + 1) / 2
        mixed = np.clip(mixed, 0, 1)
    result: Pixels = np.rint(255 * mixed).astype(np.uint8)
    return result


class PixMix:
    """Mixes pictures into images.

    Args:
        pictures: to choose from, each image one.
        config: the run.
    """

    def __init__(self, pictures: Pictures, config: Resolved) -> None:
        self._pictures = pictures
        self._size = config.img_size
        self._k, self._beta = config.pixmix_k, config.pixmix_beta
        self._severity = config.pixmix_severity
        settings = {
            "img_mean": 0,  # what is uncovered is black
            "interpolation": Image.Resampling.BILINEAR,
            "translate_pct": 1 / 3,
        }
        self._operations = [
            AugmentOp(name, prob=1.0, hparams=settings)  # type: ignore[no-untyped-call]
            for name in _OPERATIONS
        ]

    def __call__(self, pixels: Tensor) -> Tensor:
        """uint8 (C, S, S), C = 1 or 3 -> the same, C = 3 where a picture has color."""
        before = np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())
        mixing = sample_mixing(self._k, self._beta)
        start = self._copy(before) if mixing.from_copy else before
        picture: Pixels | None = None
        others = []
        for one in mixing.rounds:
            if one.copy:
                others.append(self._copy(before))
            else:
                picture = self._picture() if picture is None else picture
                others.append(picture)
        mixed = mix(start, others, mixing.rounds)
        return torch.from_numpy(mixed).permute(2, 0, 1).contiguous()

    def _copy(self, pixels: Pixels) -> Pixels:
        """The image after one of the operations."""
        operation = random.choice(self._operations)
        operation.magnitude = random.uniform(_LEAST_LEVEL, self._severity)
        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        return np.asarray(operation(image)).reshape(pixels.shape)

    def _picture(self) -> Pixels:
        """A random part of a picture: uint8 (S, S, C)."""
        found = self._pictures.read(random.randrange(self._pictures.count))
        image = found if isinstance(found, Image.Image) else Image.fromarray(found)
        if image.mode not in ("L", "RGB"):
            image = image.convert("RGB")
        scale = self._size * _MARGIN / min(image.size)
        width, height = (max(self._size, round(scale * side)) for side in image.size)
        left = random.randrange(width - self._size + 1)
        top = random.randrange(height - self._size + 1)
        resized = image.resize((width, height), Image.Resampling.BILINEAR)
        part = resized.crop((left, top, left + self._size, top + self._size))
        return np.asarray(part).reshape(self._size, self._size, -1)
