"""Random pattern and random texture of gray images."""

import numpy as np
import pytest
from PIL import Image

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.keys import Key
from fdsl_train.config import Resolved, TrainConfig
from fdsl_train.training.randomness import seed_cpu
from fdsl_train.transforms import train_transform
from fdsl_train.transforms.batch import ImageTransform
from fdsl_train.transforms.one_instance import OneInstance, shade, stamp
from tests.fdsl_train.conftest import TINY, pattern


def resolved(**changes: object) -> Resolved:
    still = {"mixup": 0, "cutmix": 0, "aa": None, "hflip": 0, "vflip": 0, "reprob": 0}
    still |= {"scale": (1.0, 1.0), "ratio": (1.0, 1.0), "img_size": 64}
    return TrainConfig(**(TINY | still | changes)).resolve(num_samples=16)


def test_a_patch_is_stamped_at_every_pixel() -> None:
    image = np.zeros((4, 5), np.uint8)
    image[1, 2], image[3, 4], image[2, 2] = 100, 50, 200
    for patch in (0b000010000, 0b100000000, 0b010001100, 0b111111111):
        expected = np.zeros_like(image)
        for y, x in np.argwhere(image):
            for place in range(9):
                row, column = y + place // 3 - 1, x + place % 3 - 1
                if f"{patch:09b}"[place] == "1" and 0 <= row < 4 and 0 <= column < 5:
                    expected[row, column] = max(expected[row, column], image[y, x])
        assert np.array_equal(stamp(image, patch), expected)


def test_a_texture_shades_and_keeps_black() -> None:
    levels = np.arange(256, dtype=np.uint8)
    image, field = np.meshgrid(levels, levels)
    expected = np.floor(image.astype(float) * field / 255 + 0.4985)
    assert np.array_equal(shade(image, field), expected)
    drawn = pattern(3, 0)
    drawn[drawn < 100] = 0
    seed_cpu(Key(0, "texture"))
    images = [OneInstance(0.0, 1.0)(drawn) for _ in range(12)]
    for image in images:
        assert np.array_equal(image == 0, drawn == 0)
        assert (image <= drawn).all() and image[drawn > 0].std() > 5
    assert len({image.tobytes() for image in images}) == 12


def test_they_are_drawn_from_the_key_and_only_if_asked() -> None:
    image = pattern(1, 0)
    plain, changed = (
        train_transform(resolved()),
        train_transform(resolved(pattern=0.5, texture=0.5)),
    )

    def drawn(transform: ImageTransform, key: int) -> bytes:
        seed_cpu(Key(0, "augment", (0, key, 0)))
        return transform.gray(image).numpy().tobytes()

    assert {drawn(plain, key) for key in range(6)} == {image.tobytes()}
    seen = [drawn(changed, key) for key in range(24)]
    assert seen == [drawn(changed, key) for key in range(24)]
    assert 1 < seen.count(image.tobytes()) < 15  # a quarter
    assert len(set(seen)) > 10


def test_they_are_for_gray_images() -> None:
    color = Image.new("RGB", (64, 64), "red")
    with pytest.raises(UsageError, match="are for gray images; set them to 0"):
        train_transform(resolved(texture=0.5))(color)
