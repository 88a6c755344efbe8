"""Targets with smoothing, mixup and cutmix, worked out from the images that a model gets."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fdsl_gen.core.keys import Key
from fdsl_train.config import load_config
from fdsl_train.tasks.classification import Classification
from fdsl_train.training.randomness import seed_cpu
from fdsl_train.transforms.batch import Batch
from tests.fdsl_train.conftest import write_recipe

CLASSES, SIDE = 5, 16
LABELS = torch.tensor([0, 1, 2, 3, 4, 1])
LOGITS = torch.linspace(-1, 2, 6 * CLASSES).reshape(6, CLASSES).sin() * 3


class Recorder(nn.Module):
    """Keeps the images it gets; always the same logits."""

    def forward(self, images: Tensor) -> Tensor:
        self.images = images.clone()
        return LOGITS


def step(folder: Path, number: int, **changes: Any) -> tuple[NDArray[np.float64], float]:
    """The share of its own pixels that is left of every image, and the loss.

    Image i is filled with the level i, and mixing pairs it with image 5 - i.
    """
    path = write_recipe(folder / "tiny.yaml", **changes)
    task = Classification(load_config(str(path), "pretrain", {}).resolve(32), CLASSES)
    levels = torch.arange(6.0)[:, None, None, None].expand(6, 3, SIDE, SIDE).clone()
    model = Recorder()
    seed_cpu(Key(0, "test", (number,)))
    loss = task.step(model, Batch(levels, LABELS)).loss
    seen = model.images.double().numpy()
    own, other = np.arange(6.0), np.arange(5.0, -1.0, -1.0)
    kept = (seen.mean(axis=(1, 2, 3)) - other) / (own - other)
    return kept, float(loss)


def loss_by_hand(kept: NDArray[np.float64], smoothing: float) -> float:
    """Cross entropy against ``kept`` of the own label and the rest of the partner's."""
    logits, labels = LOGITS.double().numpy(), LABELS.numpy()
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    total = 0.0
    for i in range(6):
        target = np.full(CLASSES, smoothing / CLASSES)
        target[labels[i]] += (1 - smoothing) * kept[i]
        target[labels[5 - i]] += (1 - smoothing) * (1 - kept[i])
        assert target.sum() == pytest.approx(1)
        total -= float((target * logs[i]).sum())
    return total / 6


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
def test_smoothing_spreads_over_all_classes(tmp_path: Path, smoothing: float) -> None:
    kept, loss = step(tmp_path, 0, mixup=0, cutmix=0, smoothing=smoothing)
    assert kept.tolist() == [1.0] * 6
    assert loss == pytest.approx(loss_by_hand(kept, smoothing), rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.4])
@pytest.mark.parametrize("mix", [{"mixup": 1, "cutmix": 0}, {"mixup": 0, "cutmix": 1}], ids=str)
def test_targets_are_mixed_and_smoothed_like_the_images(
    tmp_path: Path, mix: dict[str, float], smoothing: float
) -> None:
    for number in range(5):
        kept, loss = step(tmp_path, number, smoothing=smoothing, **mix)
        assert np.allclose(kept, kept[0])
        assert loss == pytest.approx(loss_by_hand(kept, smoothing), rel=1e-4)
    assert 0.01 < kept[0] < 0.99


@pytest.mark.parametrize(
    ("alphas", "cutmix_share", "least", "most"),
    [
        ({"mixup": 1000, "cutmix": 0.01}, 0, 0.4, 0.6),
        # Half of the area is a box of 11 x 11, of which at least a quarter lies in the image.
        ({"mixup": 0.01, "cutmix": 1000}, 1, 0.5, 0.9),
    ],
)
def test_each_way_to_mix_has_its_own_alpha(
    tmp_path: Path, alphas: dict[str, float], cutmix_share: float, least: float, most: float
) -> None:
    """Beta(1000, 1000) is always near 1/2, Beta(0.01, 0.01) hardly ever."""
    for number in range(20):
        share = step(tmp_path, number, mixup_switch_prob=cutmix_share, **alphas)[0][0]
        assert least < share < most


@pytest.mark.parametrize("mix", ["mixup", "cutmix"])
def test_mixup_blends_and_cutmix_pastes(tmp_path: Path, mix: str) -> None:
    settings = {"mixup": 0, "cutmix": 0} | {mix: 1.0}
    path = write_recipe(tmp_path / "tiny.yaml", **settings)
    task = Classification(load_config(str(path), "pretrain", {}).resolve(32), CLASSES)
    model = Recorder()
    seed_cpu(Key(0, "test", (3,)))
    levels = torch.arange(6.0)[:, None, None, None].expand(6, 3, SIDE, SIDE).clone()
    task.step(model, Batch(levels, LABELS))
    counts = [len(image.unique()) for image in model.images]
    assert counts == [1 if mix == "mixup" else 2] * 6


def test_the_share_of_mixed_batches(tmp_path: Path) -> None:
    shares = [step(tmp_path, n, mixup=1, cutmix=0, mixup_prob=0.25)[0][0] for n in range(200)]
    mixed = sum(share < 1 for share in shares)
    assert 30 <= mixed <= 70  # 50 are expected, with a deviation of 6
