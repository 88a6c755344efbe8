"""Image -> what loader processes hand over -> the input of a model.

A worker sends bytes, one channel of them for gray images, and the noise of erased boxes; the
process that trains spreads them to three float32 channels, on a GPU if it has one. An image of
224x224 then is 50 kB and its noise in shared memory instead of 600 kB: with one worker and decoded
images, 1,130 images a second and core against 590, the last step on the CPU included.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from fdsl_train.data.sources.base import Label, Picture, Sample


class Box(NamedTuple):
    """A part of an image and what stands there instead, float32 (3, height, width)."""

    top: int
    left: int
    height: int
    width: int
    values: Tensor


class AugmentedSample(NamedTuple):
    """One image and its label, all draws made.

    Attributes:
        pixels: uint8 (C, S, S), C = 1 or 3.
        label: as in the sample; what moves the image has moved it too, where it has places.
        erased: put over the normalized pixels.
    """

    pixels: Tensor
    label: Label
    erased: Box | None = None


class Batch(NamedTuple):
    """Tensors only, so that memory can be pinned and moved.

    Attributes:
        images: from a loader process uint8 (B, C, H, W), C = 1 or 3; once they are finished float32
            (B, 3, H, W), normalized.
        labels: what the task makes of labels, such as int64 (B,) or multi-hot float32 (B, N).
        erased: what is yet to be put over the images, or None. Boxes int64 (K, 5): image, top,
            left, height, width; and float32 values, (3, height, width) for each box, one after the
            other. Both are where the images are.
    """

    images: Tensor
    labels: Tensor
    erased: tuple[Tensor, Tensor] | None = None


def collate(samples: Sequence[AugmentedSample], labels: Tensor) -> Batch:
    """Where some images are gray and some not, the gray ones become RGB.

    Images of several sizes, which whole pictures for validation may have, are filled up with 0
    below and to the right.
    """
    channels = max(len(one.pixels) for one in samples)
    spread = [one.pixels.expand(channels, -1, -1) for one in samples]
    height, width = (max(one.shape[axis] for one in spread) for axis in (1, 2))
    images = torch.stack(
        [F.pad(one, (0, width - one.shape[2], 0, height - one.shape[1])) for one in spread]
    )
    erased = [(i, one.erased) for i, one in enumerate(samples) if one.erased is not None]
    if not erased:
        return Batch(images, labels)
    boxes = torch.tensor([(i, box.top, box.left, box.height, box.width) for i, box in erased])
    return Batch(images, labels, (boxes, torch.cat([box.values.flatten() for _, box in erased])))


def to_float(batch: Batch, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """float32 (B, 3, H, W) on the device of the images, normalized and erased.

    The operations are torchvision's, in its order: on the CPU the result is the same to the bit.

    Args:
        batch: images, uint8; all of it may have been moved to a GPU.
        mean, std: of each channel, of 0..1.
    """
    per_channel = _constants(tuple(mean), tuple(std), batch.images.device)
    level = batch.images.to(torch.float32).div_(255)
    spread = (level - per_channel[0]).div_(per_channel[1])
    if batch.erased is not None:
        put = _copy_boxes if spread.device.type == "cpu" else scatter_boxes
        put(spread, *batch.erased)
    return spread


@functools.lru_cache(maxsize=8)
def _constants(mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> Tensor:
    """float32 (2, 3, 1, 1); made once, for a copy to a GPU would wait for it at every batch."""
    return torch.tensor([mean, std], device=device)[:, :, None, None]


def _copy_boxes(images: Tensor, boxes: Tensor, values: Tensor) -> None:
    """Box after box: on a CPU copies of rows take a hundredth of :func:`scatter_boxes`."""
    start = 0
    for i, top, left, height, width in boxes.tolist():
        end = start + 3 * height * width
        box = values[start:end].view(3, height, width)
        images[i, :, top : top + height, left : left + width] = box
        start = end


def scatter_boxes(images: Tensor, boxes: Tensor, values: Tensor) -> None:
    """Put boxes over images, by a number of operations that does not grow with that of boxes.

    Nothing in it waits for a GPU or depends on a value, so it can be compiled.

    Args:
        images: float32 (B, 3, H, W), changed in place.
        boxes, values: as in :class:`Batch`, where the images are.
    """
    _, channels, rows, columns = images.shape
    image, top, left, height, width = boxes.unbind(1)
    sizes = channels * height * width
    first = sizes.cumsum(0) - sizes
    count = values.shape[0]
    numbers = torch.arange(len(boxes), device=boxes.device)
    box = torch.repeat_interleave(numbers, sizes, output_size=count)  # of every value
    place = torch.arange(count, device=boxes.device) - first[box]  # in it
    line = place // width[box]  # of it, over all its channels
    channel = line // height[box]
    row = top[box] + line - channel * height[box]
    column = left[box] + place - line * width[box]
    target = ((image[box] * channels + channel) * rows + row) * columns + column
    images.view(-1).scatter_(0, target, values)


class ImageTransform:
    """Takes gray images one way and color images the other.

    Args:
        mean, std: per channel, of images in 0..1.
        gray: uint8 (H, W) -> uint8 (1, S, S).
        color: RGB -> uint8 (3, S, S).
        erasing: drawn after them, may draw none; None: nothing is erased.
        mixing: uint8 (C, S, S) -> the same, C = 1 or 3, drawn between them; None: nothing is mixed.
    """

    def __init__(
        self,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        gray: Callable[[NDArray[np.uint8]], Tensor],
        color: Callable[[Image.Image], Tensor],
        erasing: Callable[[], Box | None] | None,
        mixing: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.gray = gray
        self._color = color
        self._mixing = mixing
        self.erasing = erasing
        self._mean, self._std = mean, std

    def __call__(self, picture: Picture) -> Tensor:
        """Pillow image, or uint8 (H, W) or (H, W, 3) -> float32 (3, S, S), normalized."""
        return self.finish(collate([self.apply(Sample(picture, 0))], torch.zeros(1)))[0]

    def apply(self, sample: Sample) -> AugmentedSample:
        """See ``Transform``. Pillow images of other modes than L are turned into RGB."""
        pixels = self._pixels(sample.image)
        if self._mixing is not None:
            pixels = self._mixing(pixels)
        erased = self.erasing() if self.erasing is not None else None
        return AugmentedSample(pixels, sample.label, erased)

    def finish(self, batch: Batch) -> Tensor:
        """See ``Transform``."""
        return to_float(batch, self._mean, self._std)

    def _pixels(self, picture: Picture) -> Tensor:
        if not isinstance(picture, Image.Image):
            if picture.ndim == 2:
                return self.gray(picture)
            return self._color(Image.fromarray(picture))
        if picture.mode == "L":
            return self.gray(np.asarray(picture))
        return self._color(picture if picture.mode == "RGB" else picture.convert("RGB"))
