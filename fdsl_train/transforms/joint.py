"""Transforms of an image together with its mask: what moves one moves the other.

Training: random resize, a crop of which no class takes nearly all (up to ten are drawn), flips and
colors, as in the papers' runs (mmsegmentation's ``RandomResize``, ``RandomCrop`` and
``PhotoMetricDistortion``). Images are resampled by Pillow, masks take the nearest place. The crop
is cut out of the source at once, so that a large resize costs no more than the crop.
"""

import random

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional as colors

from fdsl_train.config import Resolved
from fdsl_train.data.masks import Mask, fill_of
from fdsl_train.data.sources.base import Picture, Sample
from fdsl_train.input_spec import InputSpec
from fdsl_train.transforms.batch import AugmentedSample, Batch, to_float
from fdsl_train.transforms.windows import resized_shape

_RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
_MOST_CROPS = 10
_SHADES = 0.5  # contrast and saturation: factors 1 - this .. 1 + this
_BRIGHTNESS = 32 / 255
_HUE = 18 / 360  # of a turn


class DenseTrain:
    """The random transforms.

    Args:
        config: the run.
    """

    def __init__(self, config: Resolved) -> None:
        self._size = config.img_size
        self._short_side = config.short_side or config.img_size
        self._ratio = config.resize_ratio
        self._most = config.cat_max_ratio
        self._hflip, self._vflip = config.hflip, config.vflip
        self._photometric = config.photometric
        self._resampling = _RESAMPLING[config.interpolation]
        self._mean, self._std = config.mean, config.std

    def apply(self, sample: Sample) -> AugmentedSample:
        """See ``Transform``: a random view of an image and its mask, both (S, S)."""
        image, mask = as_pillow(sample.image), mask_of(sample)
        height, width = mask.shape
        factor = random.uniform(*self._ratio) * self._short_side / min(height, width)
        grown = max(1, round(height * factor)), max(1, round(width * factor))
        top, left = self._crop(mask, grown)
        rows = _sources(top, min(self._size, grown[0] - top), height, grown[0])
        columns = _sources(left, min(self._size, grown[1] - left), width, grown[1])
        part = mask[rows][:, columns]
        box = (
            left * width / grown[1],
            top * height / grown[0],
            (left + len(columns)) * width / grown[1],
            (top + len(rows)) * height / grown[0],
        )
        seen = image.resize((len(columns), len(rows)), self._resampling, box)
        if random.random() < self._hflip:
            seen, part = seen.transpose(Image.Transpose.FLIP_LEFT_RIGHT), part[:, ::-1]
        if random.random() < self._vflip:
            seen, part = seen.transpose(Image.Transpose.FLIP_TOP_BOTTOM), part[::-1]
        pixels = as_pixels(self._colored(seen))
        return AugmentedSample(self._padded(pixels), _filled(part, self._size))

    def finish(self, batch: Batch) -> Tensor:
        """See ``Transform``."""
        return to_float(batch, self._mean, self._std)

    def _crop(self, mask: Mask, grown: tuple[int, int]) -> tuple[int, int]:
        """Top and left of a crop of the grown image that is not of one class."""
        size, fill = self._size, fill_of(mask)
        for _ in range(_MOST_CROPS):
            top, left = (random.randint(0, max(side - size, 0)) for side in grown)
            if self._most >= 1:
                break
            rows = _sources(top, min(size, grown[0]), mask.shape[0], grown[0])
            columns = _sources(left, min(size, grown[1]), mask.shape[1], grown[1])
            part = mask[rows][:, columns]
            counts = np.bincount(part[part != fill])
            if np.count_nonzero(counts) > 1 and counts.max() < self._most * counts.sum():
                break
        return top, left

    def _colored(self, image: Image.Image) -> Image.Image:
        for name, reach in (
            ("brightness", _BRIGHTNESS),
            ("contrast", _SHADES),
            ("saturation", _SHADES),
        ):
            if random.random() < self._photometric:
                factor = random.uniform(1 - reach, 1 + reach)
                image = getattr(colors, f"adjust_{name}")(image, factor)
        if random.random() < self._photometric:
            image = colors.adjust_hue(image, random.uniform(-_HUE, _HUE))
        return image

    def _padded(self, pixels: Tensor) -> Tensor:
        """uint8 (C, h, w) -> (C, S, S), filled up with the mean below and to the right."""
        channels, height, width = pixels.shape
        if (height, width) == (self._size, self._size):
            return pixels
        mean = self._mean if channels == 3 else (sum(self._mean) / 3,)
        fill = torch.tensor([round(255 * value) for value in mean], dtype=torch.uint8)
        whole = fill[:, None, None].repeat(1, self._size, self._size)
        whole[:, :height, :width] = pixels
        return whole


class DenseEval:
    """The image for validation: squeezed into the input, or in its own shape for windows.

    Args:
        spec: what the model takes.
    """

    def __init__(self, spec: InputSpec) -> None:
        self._spec = spec

    def apply(self, sample: Sample) -> AugmentedSample:
        """See ``Transform``: the mask stays as it is."""
        spec, image, mask = self._spec, as_pillow(sample.image), mask_of(sample)
        height = width = spec.img_size
        if spec.eval_mode == "slide":
            height, width = resized_shape(
                image.height, image.width, spec.short_side or spec.img_size
            )
        seen = image.resize((width, height), _RESAMPLING[spec.interpolation])
        return AugmentedSample(as_pixels(seen), mask)

    def finish(self, batch: Batch) -> Tensor:
        """See ``Transform``."""
        return to_float(batch, self._spec.mean, self._spec.std)


def mask_of(sample: Sample) -> Mask:
    """The mask that is the label of a sample."""
    assert isinstance(sample.label, np.ndarray)
    return sample.label


def as_pillow(picture: Picture) -> Image.Image:
    """A picture as a Pillow image of mode L or RGB."""
    if not isinstance(picture, Image.Image):
        return Image.fromarray(picture)
    return picture if picture.mode in ("L", "RGB") else picture.convert("RGB")


def as_pixels(image: Image.Image) -> Tensor:
    """uint8 (C, H, W), C = 1 or 3."""
    pixels = torch.from_numpy(np.array(image))
    return pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()


def _sources(start: int, count: int, length: int, grown: int) -> NDArray[np.int64]:
    """Where ``count`` places from ``start`` on of ``length`` grown to ``grown`` are taken from."""
    centers = np.arange(start, start + count) + 0.5
    return np.minimum((centers * length / grown).astype(np.int64), length - 1)


def _filled(mask: Mask, size: int) -> Mask:
    """A mask (h, w) in one of (size, size), the rest without a class."""
    whole: Mask = np.full((size, size), fill_of(mask), mask.dtype)
    whole[: mask.shape[0], : mask.shape[1]] = mask
    return whole
