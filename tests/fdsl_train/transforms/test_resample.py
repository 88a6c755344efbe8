"""The kernels for one channel against Pillow, pixel by pixel."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fdsl_train.transforms.resample import CUBIC, LINEAR, resize, slide

Resampling, Transpose = Image.Resampling, Image.Transpose
# Narrower, wider and as wide as the output, not multiples of the eight bytes of a block.
SHAPES = [(1, 1), (3, 40), (24, 24), (25, 7), (40, 3), (53, 61), (64, 64), (100, 24)]


def images(height: int, width: int) -> dict[str, NDArray[np.uint8]]:
    rng = np.random.default_rng([height, width])
    down, across = np.mgrid[:height, :width]
    return {
        "noise": rng.integers(0, 256, (height, width), dtype=np.uint8),
        "two levels": (rng.random((height, width)) > 0.8).astype(np.uint8) * 255,
        "slope": ((3 * down + 5 * across) % 256).astype(np.uint8),
    }


@pytest.mark.parametrize(
    ("reach", "method"), [(CUBIC, Resampling.BICUBIC), (LINEAR, Resampling.BILINEAR)]
)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_resize_equals_pillow(shape: tuple[int, int], reach: float, method: Resampling) -> None:
    for image in images(*shape).values():
        for hflip, vflip in ((False, False), (True, False), (False, True)):
            out = np.empty((24, 24), np.uint8)
            resize(image, reach, hflip, vflip, out)
            expected = Image.fromarray(image).resize((24, 24), method)
            if hflip:
                expected = expected.transpose(Transpose.FLIP_LEFT_RIGHT)
            if vflip:
                expected = expected.transpose(Transpose.FLIP_TOP_BOTTOM)
            np.testing.assert_array_equal(out, np.asarray(expected))


# Whole and half pixels, none, hardly any, and more than the image is wide.
SLOPES = (0.0, 0.3, -0.27, 1 / 3, -0.125)
OFFSETS = (0.0, 7.0, -3.5, 10.08, -9.4, 1e-9, -1e-9, 40.0, -40.0)


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("side", [2, 5, 24, 33])
def test_slide_equals_pillow(side: int, down: bool) -> None:
    for image in images(side, side).values():
        for slope in SLOPES:
            for offset in OFFSETS:
                out = np.empty_like(image)
                slide(image, slope, offset, 128, down, out)
                matrix = (1, 0, 0, slope, 1, offset) if down else (1, slope, offset, 0, 1, 0)
                expected = Image.fromarray(image).transform(
                    (side, side),
                    Image.Transform.AFFINE,
                    matrix,
                    Resampling.BICUBIC,
                    fillcolor=128,
                )
                message = f"slope {slope}, offset {offset}"
                np.testing.assert_array_equal(out, np.asarray(expected), err_msg=message)
