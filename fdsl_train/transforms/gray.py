"""The random transforms of images of one channel.

They draw what timm's do, from the same generators in the same order, and give the same pixels as
timm's do for the image repeated to RGB, if the mean of the recipe is gray. What RandAugment
uncovers timm fills with that mean, (124, 116, 104) for ImageNet's; an image of one channel takes
the mean of the three, 115.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from timm.data.transforms import RandomResizedCropAndInterpolation
from torch import Tensor

from fdsl_train.config import Resolved
from fdsl_train.transforms.one_instance import OneInstance
from fdsl_train.transforms.randaugment import gray_randaugment
from fdsl_train.transforms.resample import CUBIC, LINEAR, resize, warm_up


class GrayTrain:
    """Random pattern and texture, crop, flips and RandAugment.

    Args:
        config: the run.
    """

    def __init__(self, config: Resolved) -> None:
        warm_up()
        self._size = config.img_size
        self._scale, self._ratio = config.scale, config.ratio
        self._reach = CUBIC if config.interpolation == "bicubic" else LINEAR
        # torchvision compares its draw with the probability in float32
        self._hflip, self._vflip = float(np.float32(config.hflip)), float(np.float32(config.vflip))
        self._other = None
        if config.pattern > 0 or config.texture > 0:
            self._other = OneInstance(config.pattern, config.texture)
        self._augment = None
        if config.aa is not None:
            self._augment = gray_randaugment(
                config.aa,
                size=config.img_size,
                fill=_gray_fill(config),
                interpolation=config.interpolation,
            )

    def __call__(self, pixels: NDArray[np.uint8]) -> Tensor:
        """uint8 (H, W) -> uint8 (1, img_size, img_size)."""
        if self._other is not None:
            pixels = self._other(pixels)
        return torch.from_numpy(self.augment(self.crop(pixels)))[None]

    def crop(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A random part, resized and flipped: uint8 (H, W) -> (S, S)."""
        shape = torch.empty(pixels.shape, device="meta")  # an image without pixels, to ask timm
        top, left, height, width = RandomResizedCropAndInterpolation.get_params(  # type: ignore[no-untyped-call]
            shape, self._scale, self._ratio
        )
        hflip = self._hflip > 0 and torch.rand(1).item() < self._hflip
        vflip = self._vflip > 0 and torch.rand(1).item() < self._vflip
        # A copy, because a kernel is compiled again for an array that is a view of another or may
        # not be written to.
        part = pixels[top : top + height, left : left + width].copy()
        seen = np.empty((self._size, self._size), np.uint8)
        resize(part, self._reach, hflip, vflip, seen)
        return seen

    def augment(self, seen: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """RandAugment: uint8 (S, S) -> (S, S)."""
        if self._augment is None:
            return seen
        return np.array(self._augment(Image.fromarray(seen)))


def _gray_fill(config: Resolved) -> int:
    """Gray level of what RandAugment uncovers: the mean of the levels that timm takes."""
    return round(sum(min(255, round(255 * mean)) for mean in config.mean) / 3)
