"""The transforms of a run: timm's for RGB, and the same on one channel for gray images.

RandAugment fills what it uncovers with the mean of the recipe, as timm does; with ``mean: 0.5``
that is gray. Random erasing acts on one sample at a time, so that its draws are keyed like the
others.
"""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from timm.data.transforms_factory import create_transform
from torch import Tensor

from fdsl_gen.core.errors import UsageError
from fdsl_train.config import Resolved
from fdsl_train.data.sources.base import Pictures, Sample
from fdsl_train.input_spec import InputSpec
from fdsl_train.transforms.batch import AugmentedSample, Batch, ImageTransform
from fdsl_train.transforms.erasing import Erasing
from fdsl_train.transforms.gray import GrayTrain
from fdsl_train.transforms.joint import DenseEval, DenseTrain
from fdsl_train.transforms.pixmix import PixMix


class Transform(Protocol):
    """What becomes of samples: the random part in a worker, the rest on the device."""

    def apply(self, sample: Sample) -> AugmentedSample:
        """All but the last step, one sample: its image and, where it has places, its label."""
        ...

    def finish(self, batch: Batch) -> Tensor:
        """The last step, for the images of a batch: float32 (B, 3, H, W), where they are."""
        ...


def transform_for_training(config: Resolved, pictures: Pictures | None = None) -> Transform:
    """The random transform of a run: of images, or with a decoder of images and masks."""
    return train_transform(config, pictures) if config.decoder is None else DenseTrain(config)


def transform_for_validation(spec: InputSpec, *, dense: bool) -> Transform:
    """What a model takes: of images, or of images and masks."""
    return DenseEval(spec) if dense else eval_transform(spec)


def train_transform(config: Resolved, pictures: Pictures | None = None) -> ImageTransform:
    """Random crop, flips, RandAugment, PixMix and erasing.

    Args:
        config: the run.
        pictures: for PixMix; None: nothing is mixed.
    """
    color = _timm(
        config.input_spec,
        is_training=True,
        scale=config.scale,
        ratio=config.ratio,
        hflip=config.hflip,
        vflip=config.vflip,
        color_jitter=None,  # timm ignores it beside RandAugment, as in the papers' runs
        auto_augment=config.aa,
        mean=config.mean,
    )
    if config.pattern > 0 or config.texture > 0:
        color = _refuse_color
    mixing = None if pictures is None else PixMix(pictures, config)
    erasing = Erasing(config)
    return ImageTransform(config.mean, config.std, GrayTrain(config), color, erasing, mixing)


def _refuse_color(_: Image.Image) -> Tensor:
    raise UsageError("pattern and texture are for gray images; set them to 0")


def eval_transform(spec: InputSpec) -> ImageTransform:
    """Resize and center crop."""
    either = _timm(spec, is_training=False, crop_pct=spec.crop_pct)
    return ImageTransform(spec.mean, spec.std, _FromArray(either), either, None)


class _FromArray:
    """uint8 (H, W) for a transform of Pillow images."""

    def __init__(self, transform: Callable[[Image.Image], Tensor]) -> None:
        self._transform = transform

    def __call__(self, pixels: NDArray[np.uint8]) -> Tensor:
        return self._transform(Image.fromarray(pixels))


def _timm(spec: InputSpec, **settings: Any) -> Callable[[Image.Image], Tensor]:
    """timm's transform without its last steps: Pillow image -> uint8 (C, S, S)."""
    transform: Callable[[Image.Image], Tensor] = create_transform(
        input_size=spec.img_size,
        interpolation=spec.interpolation,
        normalize=False,
        **settings,
    )
    return transform
