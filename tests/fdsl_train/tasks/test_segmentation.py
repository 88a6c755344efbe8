"""What a segmentation run descends and measures."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fdsl_gen.core.errors import UsageError
from fdsl_train.config import Resolved, load_config
from fdsl_train.data.masks import IGNORED, OUTSIDE
from fdsl_train.data.sources.base import Sample
from fdsl_train.tasks.segmentation import Overlap, Segmentation, class_maps
from fdsl_train.transforms.batch import Batch, collate
from fdsl_train.transforms.joint import DenseEval
from tests.fdsl_train.conftest import write_recipe
from tests.fdsl_train.scenes import CLASSES, COLORS, scene

PLAIN = {"mixup": 0, "cutmix": 0, "aa": None, "reprob": 0, "smoothing": 0, "decoder": "linear"}


def config(folder: Path, **changes: Any) -> Resolved:
    path = write_recipe(folder / "r.yaml", **(PLAIN | changes))
    return load_config(str(path), "pretrain", {}).resolve(32)


class Fixed(nn.Module):
    """Gives the logits it was made with."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, _: Tensor) -> Tensor:
        return self.logits


class Colors(nn.Module):
    """Knows the classes of scenes by their colors."""

    def forward(self, images: Tensor) -> Tensor:
        wanted = torch.tensor(COLORS / 255 / 0.5 - 1, dtype=torch.float32)[None, :, :, None, None]
        return -(images[:, None] - wanted).square().sum(dim=2)


def drawn(seed: int, count: int = 2000) -> tuple[Tensor, Tensor]:
    """Classes said and true ones; class 4 is never true, class 5 neither said nor true."""
    rng = np.random.default_rng(seed)
    return torch.tensor(rng.integers(0, 5, count)), torch.tensor(rng.integers(0, 4, count))


def test_measures_are_those_of_torchmetrics() -> None:
    from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

    score, found, labels = Overlap(6), *drawn(0)
    score.update(found, labels)
    measures = score.percent(score.counts())
    iou = MulticlassJaccardIndex(6, average="macro")(found, labels)
    each = MulticlassAccuracy(6, average="none")(found, labels)
    pixels = MulticlassAccuracy(6, average="micro")(found, labels)
    assert measures["val_miou"] == pytest.approx(100 * float(iou), rel=1e-5)
    assert measures["val_macc"] == pytest.approx(100 * float(each[:4].mean()), rel=1e-5)
    assert measures["val_pacc"] == pytest.approx(100 * float(pixels), rel=1e-5)
    assert next(iter(measures)) == "val_miou"  # decides what is best


def test_counts_of_parts_add_up() -> None:
    whole, parts = Overlap(6), [Overlap(6), Overlap(6)]
    found, labels = drawn(1)
    for part, places in zip(parts, (slice(0, 700), slice(700, None)), strict=True):
        whole.update(found[places], labels[places])
        part.update(found[places], labels[places])
    both = [sum(pair) for pair in zip(*(part.counts() for part in parts), strict=True)]
    assert both == whole.counts()
    assert whole.percent(both) == whole.percent(whole.counts())


def test_pixels_without_a_class_count_for_nothing(tmp_path: Path) -> None:
    task = Segmentation(config(tmp_path, dice=0.5), 3)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 4, generator=generator)
    labels = torch.randint(0, 3, (2, 4, 4), generator=generator, dtype=torch.int32)
    labels[:, :2] = IGNORED
    images = torch.zeros(2, 3, 4, 4)
    first = task.step(Fixed(logits), Batch(images, labels))
    changed = logits.clone()
    changed[:, :, :2] += torch.randn(2, 3, 2, 4, generator=generator)
    second = task.step(Fixed(changed), Batch(images, labels))
    assert torch.allclose(first.loss, second.loss)
    assert torch.equal(first.metrics["pacc"], second.metrics["pacc"])
    plain = Segmentation(config(tmp_path), 3).step(Fixed(logits), Batch(images, labels))
    alone = nn.functional.cross_entropy(logits[:, :, 2:], labels[:, 2:].long())
    assert torch.allclose(plain.loss, alone / 2)  # half of all pixels
    assert first.loss > plain.loss


@pytest.mark.parametrize("dice", [0.0, 1.0])
def test_a_batch_without_any_class_changes_nothing(tmp_path: Path, dice: float) -> None:
    model = Fixed(torch.randn(1, 3, 4, 4))
    labels = torch.full((1, 4, 4), IGNORED, dtype=torch.int32)
    task = Segmentation(config(tmp_path, dice=dice), 3)
    outcome = task.step(model, Batch(torch.zeros(1, 3, 4, 4), labels))
    outcome.loss.backward()
    assert float(outcome.loss.detach()) == 0 == float(model.logits.grad.abs().sum())


def test_masks_of_several_sizes_stand_in_one_tensor() -> None:
    masks = [np.array([[0, 255], [1, 2]], np.uint8), np.array([[65535, 300, 1]], np.uint16)]
    targets = Segmentation.targets(masks, 400)
    assert targets.tolist() == [
        [[0, IGNORED, OUTSIDE], [1, 2, OUTSIDE]],
        [[IGNORED, 300, 1], [OUTSIDE] * 3],
    ]


@pytest.mark.parametrize("mode", ["whole", "slide"])
def test_predictions_have_the_size_of_each_mask(tmp_path: Path, mode: str) -> None:
    """A model that knows the colors finds all classes, at any size, but for edges."""
    changes = {"eval_mode": mode, "short_side": 48, "eval_stride": 20, "interpolation": "bilinear"}
    spec = config(tmp_path, img_size=48, **changes).input_spec
    transform = DenseEval(spec)
    pairs = [scene(seed, width=48 + 16 * seed) for seed in range(3)]
    samples = [transform.apply(Sample(image, mask)) for image, mask in pairs]
    packed = collate(samples, Segmentation.targets([one.label for one in samples], CLASSES))
    batch = Batch(transform.finish(packed), packed.labels)
    for found, (_, mask) in zip(class_maps(Colors(), batch, spec), pairs, strict=True):
        assert found.shape == mask.shape
        assert (found.numpy() == mask).mean() > (0.999 if mode == "slide" else 0.9)
    task = Segmentation(config(tmp_path, img_size=48, **changes), CLASSES)
    score = task.score()
    for found, labels in task.predict(Colors(), batch):
        score.update(found, labels)
    assert sum(score.counts()[2 * CLASSES :]) == sum(mask.size for _, mask in pairs)
    assert score.percent(score.counts())["val_miou"] > (99 if mode == "slide" else 80)


@pytest.mark.parametrize("wrong", [{"mixup": 0.8}, {"aa": "rand-m9"}, {"reprob": 0.25}])
def test_what_is_for_whole_images_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="--mixup 0 --cutmix 0 --aa none --reprob 0"):
        Segmentation(config(tmp_path, **wrong), 3)
