"""Bytes and boxes from loader processes become the tensors that single images become."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fdsl_gen.core.keys import Key
from fdsl_train.config import load_config
from fdsl_train.data.sources.base import Picture
from fdsl_train.training.randomness import seed_cpu
from fdsl_train.transforms import ImageTransform, train_transform
from fdsl_train.transforms.batch import AugmentedSample, PackedImages, collate, to_float
from tests.fdsl_train.conftest import pattern, write_recipe

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GRAY: list[Picture] = [pattern(label, 0) for label in range(12)]
COLOUR: list[Picture] = [Image.fromarray(pattern(label, 1)).convert("RGB") for label in range(12)]


def transform(tmp_path: Path, **changes: object) -> ImageTransform:
    path = write_recipe(tmp_path / "tiny.yaml", mean=list(MEAN), std=list(STD), **changes)
    return train_transform(load_config(str(path), "pretrain", {}).resolve(32))


def drawn(one: ImageTransform, pictures: list[Picture]) -> list[AugmentedSample]:
    found = []
    for number, picture in enumerate(pictures):
        seed_cpu(Key(0, "test", (number,)))
        found.append(one.draw(picture))
    return found


def singly(one: ImageTransform, pictures: list[Picture]) -> torch.Tensor:
    found = []
    for number, picture in enumerate(pictures):
        seed_cpu(Key(0, "test", (number,)))
        found.append(one(picture))
    return torch.stack(found)


@pytest.mark.parametrize("remode", ["pixel", "rand", "const"])
@pytest.mark.parametrize(
    ("pictures", "channels"),
    [(GRAY, 1), (COLOUR, 3), (GRAY + COLOUR, 3)],
    ids=["grey", "colour", "mixed"],
)
def test_a_batch_is_its_images(
    tmp_path: Path, pictures: list[Picture], channels: int, remode: str
) -> None:
    one = transform(tmp_path, remode=remode)
    images = collate(drawn(one, pictures))
    assert images.pixels.dtype == torch.uint8
    assert images.pixels.shape == (len(pictures), channels, 32, 32)
    assert 0 < len(images.boxes) < len(pictures)
    assert torch.equal(to_float(images, MEAN, STD), singly(one, pictures))


def test_nothing_erased(tmp_path: Path) -> None:
    one = transform(tmp_path, reprob=0.0)
    images = collate(drawn(one, GRAY))
    assert images.boxes.shape == (0, 5)
    assert images.values.shape == (0,)
    assert torch.equal(to_float(images, MEAN, STD), singly(one, GRAY))


def test_levels_and_boxes_by_hand() -> None:
    pixels = torch.tensor([[0, 51], [102, 255]], dtype=torch.uint8).expand(2, 1, 2, 2)
    boxes = torch.tensor([[1, 0, 1, 2, 1]])  # second image, right column
    values = torch.arange(6, dtype=torch.float32)
    made = to_float(PackedImages(pixels, boxes, values), (0.0, 0.5, 0.2), (1.0, 0.5, 0.1))
    plain = [[[0, 0.2], [0.4, 1]], [[-1, -0.6], [-0.2, 1]], [[-2, 0], [2, 8]]]
    erased = [[[0, 0], [0.4, 1]], [[-1, 2], [-0.2, 3]], [[-2, 4], [2, 5]]]
    np.testing.assert_allclose(made.numpy(), np.array([plain, erased], np.float32), atol=1e-6)
