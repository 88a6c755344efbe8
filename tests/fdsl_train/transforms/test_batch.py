"""Bytes and boxes from loader processes become the tensors that single images become."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode

from fdsl_gen.core.keys import Key
from fdsl_train.config import load_config
from fdsl_train.data.sources.base import Picture, Sample
from fdsl_train.training.randomness import seed_cpu
from fdsl_train.transforms import train_transform
from fdsl_train.transforms.batch import (
    AugmentedSample,
    Batch,
    ImageTransform,
    collate,
    scatter_boxes,
    to_float,
)
from tests.fdsl_train.conftest import pattern, write_recipe

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GRAY: list[Picture] = [pattern(label, 0) for label in range(12)]
COLOR: list[Picture] = [Image.fromarray(pattern(label, 1)).convert("RGB") for label in range(12)]


def transform(tmp_path: Path, **changes: object) -> ImageTransform:
    path = write_recipe(tmp_path / "tiny.yaml", mean=list(MEAN), std=list(STD), **changes)
    return train_transform(load_config(str(path), "pretrain", {}).resolve(32))


def batch_of(one: ImageTransform, pictures: list[Picture]) -> Batch:
    found: list[AugmentedSample] = []
    for number, picture in enumerate(pictures):
        seed_cpu(Key(0, "test", (number,)))
        found.append(one.apply(Sample(picture, number)))
    return collate(found, torch.tensor([sample.label for sample in found]))


def singly(one: ImageTransform, pictures: list[Picture]) -> torch.Tensor:
    found = []
    for number, picture in enumerate(pictures):
        seed_cpu(Key(0, "test", (number,)))
        found.append(one(picture))
    return torch.stack(found)


@pytest.mark.parametrize("remode", ["pixel", "rand", "const"])
@pytest.mark.parametrize(
    ("pictures", "channels"),
    [(GRAY, 1), (COLOR, 3), (GRAY + COLOR, 3)],
    ids=["gray", "color", "mixed"],
)
def test_a_batch_is_its_images(
    tmp_path: Path, pictures: list[Picture], channels: int, remode: str
) -> None:
    one = transform(tmp_path, remode=remode)
    batch = batch_of(one, pictures)
    assert batch.images.dtype == torch.uint8
    assert batch.images.shape == (len(pictures), channels, 32, 32)
    assert batch.labels.tolist() == list(range(len(pictures)))
    assert batch.erased is not None
    assert batch.erased[0].dtype == torch.int64
    assert 0 < len(batch.erased[0]) < len(pictures)
    assert torch.equal(to_float(batch, MEAN, STD), singly(one, pictures))


def test_nothing_erased(tmp_path: Path) -> None:
    one = transform(tmp_path, reprob=0.0)
    batch = batch_of(one, GRAY)
    assert batch.erased is None
    assert torch.equal(to_float(batch, MEAN, STD), singly(one, GRAY))


def test_levels_and_boxes_by_hand() -> None:
    pixels = torch.tensor([[0, 51], [102, 255]], dtype=torch.uint8).expand(2, 1, 2, 2)
    boxes = torch.tensor([[1, 0, 1, 2, 1]])  # second image, right column
    values = torch.arange(6, dtype=torch.float32)
    made = to_float(
        Batch(pixels, torch.zeros(2), (boxes, values)), (0.0, 0.5, 0.2), (1.0, 0.5, 0.1)
    )
    plain = [[[0, 0.2], [0.4, 1]], [[-1, -0.6], [-0.2, 1]], [[-2, 0], [2, 8]]]
    erased = [[[0, 0], [0.4, 1]], [[-1, 2], [-0.2, 3]], [[-2, 4], [2, 5]]]
    np.testing.assert_allclose(made.numpy(), np.array([plain, erased], np.float32), atol=1e-6)


class Counted(TorchDispatchMode):
    """Counts operations on tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.count += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("remode", ["pixel", "rand", "const"])
def test_boxes_of_a_gpu_are_those_of_the_cpu(tmp_path: Path, remode: str) -> None:
    """A few operations for a batch, however many boxes it has, and the same values."""
    one = transform(tmp_path, remode=remode, reprob=0.9)
    counts = []
    for pictures in (GRAY[:3], GRAY + COLOR):
        batch = batch_of(one, pictures)
        assert batch.erased is not None
        boxes, values = batch.erased
        made = to_float(batch._replace(erased=None), MEAN, STD)
        with Counted() as counted:
            scatter_boxes(made, boxes, values)
        assert torch.equal(made, to_float(batch, MEAN, STD))
        counts.append((len(boxes), counted.count))
    assert counts[0][0] < counts[1][0]
    assert counts[0][1] == counts[1][1] < 50


@pytest.mark.slow
def test_boxes_can_be_compiled(tmp_path: Path) -> None:
    """As one graph, without a break, and once for all numbers of boxes."""
    one = transform(tmp_path, reprob=0.9)
    put = torch.compile(scatter_boxes, backend="eager", fullgraph=True, dynamic=True)
    for pictures in (GRAY[:4], GRAY):
        batch = batch_of(one, pictures)
        assert batch.erased is not None
        made = to_float(batch._replace(erased=None), MEAN, STD)
        put(made, *batch.erased)
        assert torch.equal(made, to_float(batch, MEAN, STD))
