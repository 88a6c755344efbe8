"""timm's RandAugment on images of one channel.

The draws, the levels and most of the operations are timm's own, which take gray images as they take
RGB. Shears and shifts by bicubic interpolation, a third of all operations and nearly all of the
time, are done by our kernel, to the same pixels.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from PIL import Image
from timm.data.auto_augment import RandAugment, rand_augment_transform

from fdsl_train.transforms.resample import slide

_RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


def gray_randaugment(
    text: str, *, size: int, fill: int, interpolation: Literal["bicubic", "bilinear"]
) -> Callable[[Image.Image], Image.Image]:
    """RandAugment for images of mode L.

    Args:
        text: timm's description, such as ``rand-m9-mstd0.5-inc1``.
        size: side of the images, pixels.
        fill: gray level of what an operation uncovers.
        interpolation: of rotations, shears and shifts.
    """
    settings = {
        "translate_const": int(size * 0.45),
        "img_mean": fill,
        "interpolation": _RESAMPLING[interpolation],
    }
    augment: RandAugment = rand_augment_transform(text, settings)
    if interpolation == "bicubic":
        for op in augment.ops:
            op.aug_fn = _OURS.get(op.name, op.aug_fn)
    return augment


def _slid(
    image: Image.Image, *, slope: float = 0.0, offset: float = 0.0, down: bool = False, fill: int
) -> Image.Image:
    pixels = np.array(image)
    out = np.empty_like(pixels)
    slide(pixels, slope, offset, fill, down, out)
    return Image.fromarray(out)


# Called like timm's functions of the same names: the image, an argument, what is common to all.


def _shear_x(image: Image.Image, factor: float, *, fillcolor: int, **_: Any) -> Image.Image:
    return _slid(image, slope=factor, fill=fillcolor)


def _shear_y(image: Image.Image, factor: float, *, fillcolor: int, **_: Any) -> Image.Image:
    return _slid(image, slope=factor, down=True, fill=fillcolor)


def _translate_x(image: Image.Image, share: float, *, fillcolor: int, **_: Any) -> Image.Image:
    return _slid(image, offset=share * image.width, fill=fillcolor)


def _translate_y(image: Image.Image, share: float, *, fillcolor: int, **_: Any) -> Image.Image:
    return _slid(image, offset=share * image.height, down=True, fill=fillcolor)


_OURS: dict[str, Callable[..., Image.Image]] = {
    "ShearX": _shear_x,
    "ShearY": _shear_y,
    "TranslateXRel": _translate_x,
    "TranslateYRel": _translate_y,
}
