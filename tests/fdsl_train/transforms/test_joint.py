"""An image and its mask move together, and what is uncovered has no class."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fdsl_gen.core.keys import Key
from fdsl_train.config import Resolved, load_config
from fdsl_train.data.sources.base import Sample
from fdsl_train.training.randomness import seed_cpu
from fdsl_train.transforms.joint import DenseEval, DenseTrain
from fdsl_train.transforms.windows import resized_shape, window_starts
from tests.fdsl_train.conftest import write_recipe

MOVES = {"hflip": 0.5, "vflip": 0.5, "resize_ratio": [0.5, 2.0], "cat_max_ratio": 1.0}


def config(folder: Path, **changes: Any) -> Resolved:
    settings = {"mixup": 0, "cutmix": 0, "aa": None, "reprob": 0, "decoder": "linear"}
    path = write_recipe(folder / "r.yaml", **(settings | MOVES | changes))
    return load_config(str(path), "pretrain", {}).resolve(32)


def applied(transform: DenseTrain, sample: Sample, number: int) -> tuple[Any, Any]:
    seed_cpu(Key(0, "augment", (0, number, 0)))
    drawn = transform.apply(sample)
    return drawn.pixels.numpy(), np.asarray(drawn.label)


def blocks(seed: int, height: int = 40, width: int = 56) -> np.ndarray:
    """Levels in blocks of 16 pixels."""
    rng = np.random.default_rng(seed)
    levels = rng.integers(0, 250, (height // 16 + 1, width // 16 + 1)).astype(np.uint8)
    return levels.repeat(16, 0).repeat(16, 1)[:height, :width]


def inner(mask: np.ndarray) -> np.ndarray:
    """Where a pixel and those up to four away have one class, so that no resampling mixes."""
    padded = np.pad(mask.astype(int), 4, constant_values=-1)  # what is beyond the crop mixes in
    windows = np.lib.stride_tricks.sliding_window_view(padded, (9, 9))
    return windows.min(axis=(2, 3)) == windows.max(axis=(2, 3))


@pytest.mark.parametrize("gray", [True, False])
def test_a_mask_that_is_a_copy_of_the_image_stays_one(tmp_path: Path, gray: bool) -> None:
    transform = DenseTrain(config(tmp_path))
    compared, seen = 0, set()
    for number in range(40):
        mask = blocks(number)
        image = mask if gray else mask[..., None].repeat(3, 2)
        pixels, moved = applied(transform, Sample(image, mask), number)
        assert pixels.shape == (1 if gray else 3, 32, 32) and moved.shape == (32, 32)
        sure = inner(moved) & (moved < 255)
        compared += int(sure.sum())
        assert all(np.array_equal(channel[sure], moved[sure]) for channel in pixels)
        seen.add(moved.tobytes())
    assert compared > 500 and len(seen) == 40


def test_nothing_is_lost_where_nothing_is_resampled(tmp_path: Path) -> None:
    transform = DenseTrain(config(tmp_path, resize_ratio=[1.0, 1.0], short_side=40))
    for number in range(10):
        mask = blocks(number)
        pixels, moved = applied(transform, Sample(mask, mask), number)
        assert np.array_equal(pixels[0], moved)


def test_what_is_filled_up_has_no_class(tmp_path: Path) -> None:
    transform = DenseTrain(config(tmp_path, resize_ratio=[0.5, 0.5], mean=[0.2, 0.4, 0.6]))
    mask = np.ones((64, 64), np.uint8)
    pixels, moved = applied(transform, Sample(np.zeros((64, 64, 3), np.uint8), mask), 0)
    assert (moved[:16, :16] == 1).all() and (moved == 255).sum() == 32 * 32 - 16 * 16
    assert pixels[:, 31, 31].tolist() == [51, 102, 153]
    wide = transform.apply(Sample(np.zeros((64, 64), np.uint8), mask.astype(np.uint16)))
    assert np.asarray(wide.label).max() == 65535


def test_a_crop_of_one_class_is_drawn_anew(tmp_path: Path) -> None:
    """Nine of ten crops of this image are background alone."""
    mask = np.zeros((256, 256), np.uint8)
    mask[100:150, 100:150] = 1
    same = {"resize_ratio": [1.0, 1.0], "short_side": 256}
    shares = []
    for most in (1.0, 0.75):
        transform = DenseTrain(config(tmp_path, cat_max_ratio=most, **same))
        crops = [applied(transform, Sample(mask, mask), number)[1] for number in range(40)]
        shares.append(sum(0.25 < crop.mean() < 0.75 for crop in crops))
    assert shares[0] < 6 and shares[1] > 3 * shares[0] + 3


def test_colors_change_the_image_alone(tmp_path: Path) -> None:
    still = {"hflip": 0, "vflip": 0, "resize_ratio": [1.0, 1.0], "short_side": 40}
    plain, colored = (
        DenseTrain(config(tmp_path, photometric=share, **still)) for share in (0.0, 1.0)
    )
    mask = blocks(1)
    image = np.stack([mask, mask[::-1], 255 - mask], axis=2)
    pairs = [applied(one, Sample(image, mask), 3) for one in (plain, colored)]
    assert np.array_equal(pairs[0][1], pairs[1][1])
    assert not np.array_equal(pairs[0][0], pairs[1][0])


def test_validation_leaves_the_mask_as_it_is(tmp_path: Path) -> None:
    mask = blocks(2)
    sample = Sample(mask[..., None].repeat(3, 2), mask)
    whole = DenseEval(config(tmp_path).input_spec).apply(sample)
    assert whole.pixels.shape == (3, 32, 32) and whole.label is mask
    slid = DenseEval(config(tmp_path, eval_mode="slide", short_side=64).input_spec).apply(sample)
    assert slid.pixels.shape == (3, 64, 90)
    assert torch.equal(slid.pixels[0], slid.pixels[1])


def test_windows_cover_everything() -> None:
    assert resized_shape(40, 56, 64) == (64, 90)
    assert resized_shape(56, 40, 64) == (90, 64)
    for length, side, stride in ((90, 32, 21), (64, 32, 32), (32, 32, 21), (33, 32, 40)):
        starts = window_starts(length, side, min(stride, side))
        covered = np.zeros(length, bool)
        for start in starts:
            assert 0 <= start <= length - side
            covered[start : start + side] = True
        assert covered.all() and len(set(starts)) == len(starts)
