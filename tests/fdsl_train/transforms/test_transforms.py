"""timm's transforms as the recipes use them, on one channel and on three."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data.transforms_factory import create_transform
from torch import Tensor

from fdsl_gen.core.keys import Key
from fdsl_train.config import Resolved, load_config
from fdsl_train.data.sources.base import Picture
from fdsl_train.training.randomness import seed_cpu
from fdsl_train.transforms import eval_transform, train_transform
from fdsl_train.transforms.batch import ImageTransform
from tests.fdsl_train.conftest import pattern, write_recipe

IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
GRAY = Image.fromarray(pattern(0, 0))
RGB = GRAY.convert("RGB")


def config(tmp_path: Path, **changes: object) -> Resolved:
    path = write_recipe(tmp_path / "tiny.yaml", **changes)
    return load_config(str(path), "pretrain", {}).resolve(32)


def draw(transform: ImageTransform, picture: Picture, number: int) -> Tensor:
    seed_cpu(Key(0, "test", (number,)))
    return transform(picture)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"aa": None, **IMAGENET},
        {"reprob": 1.0, "remode": "rand"},
        {"hflip": 0.3, "vflip": 0.0, "remode": "const"},
        {"hflip": 0.1, "vflip": 0.8, "aa": None, "reprob": 0},
        {"interpolation": "bilinear", "scale": [0.5, 0.5]},
        {"ratio": [3.0, 4.0], "scale": [0.9, 1.0]},  # crops that do not fit: timm's second way
        {"mean": [0.45, 0.45, 0.45], "std": [0.2, 0.25, 0.3]},
    ],
    ids=str,
)
def test_one_channel_equals_timm_on_rgb(tmp_path: Path, changes: dict[str, object]) -> None:
    """The same draws in the same order, the same tensors to the bit."""
    settings = config(tmp_path, **changes)
    ours = train_transform(settings)
    timm = create_transform(
        settings.img_size,
        is_training=True,
        scale=settings.scale,
        ratio=settings.ratio,
        hflip=settings.hflip,
        vflip=settings.vflip,
        interpolation=settings.interpolation,
        color_jitter=None,
        auto_augment=settings.aa,
        mean=settings.mean,
        std=settings.std,
        re_prob=settings.reprob,
        re_mode=settings.remode,
    )
    for number in range(60):
        seed_cpu(Key(0, "test", (number,)))
        expected = timm(RGB)
        assert torch.equal(draw(ours, GRAY, number), expected)
        assert torch.equal(draw(ours, RGB, number), expected)
    assert expected.shape == (3, 32, 32)
    assert expected.dtype == torch.float32


@pytest.mark.parametrize(
    "changes",
    [{}, IMAGENET, {"interpolation": "bilinear"}, {"crop_pct": 0.8}, {"crop_pct": 1.0}],
    ids=str,
)
def test_validation_on_one_channel_equals_timm_on_rgb(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    settings = config(tmp_path, **changes)
    ours = eval_transform(settings.input_spec)
    timm = create_transform(
        settings.img_size,
        is_training=False,
        interpolation=settings.interpolation,
        mean=settings.mean,
        std=settings.std,
        crop_pct=settings.crop_pct,
    )
    grays = [GRAY, GRAY.resize((90, 70)), GRAY.crop((0, 0, 20, 61))]
    for gray in grays:  # square, wide, and narrower than the output
        expected = timm(gray.convert("RGB"))
        assert expected.shape == (3, 32, 32)
        assert torch.equal(ours(gray), expected)
        assert torch.equal(ours(gray.convert("RGB")), expected)


def test_arrays_are_taken_like_pillow_images(tmp_path: Path) -> None:
    """Also those that are a view of more, or may not be written to, as in a mapped file."""
    transform = train_transform(config(tmp_path))
    pixels = np.asarray(GRAY)
    wide = np.zeros((64, 100), np.uint8)
    wide[:, 9:73] = pixels
    locked = pixels.copy()
    locked.flags.writeable = False
    for number in range(20):
        expected = draw(transform, GRAY, number)
        for picture in (pixels, wide[:, 9:73], locked):
            assert torch.equal(draw(transform, picture, number), expected)
        assert torch.equal(draw(transform, np.asarray(RGB), number), expected)


def test_images_of_other_shapes(tmp_path: Path) -> None:
    """Wide ones, and ones smaller than the output."""
    settings = config(tmp_path)
    for shape in ((20, 61), (61, 20), (9, 9)):
        image = Image.fromarray(np.random.default_rng(5).integers(0, 256, shape, dtype=np.uint8))
        for transform in (train_transform(settings), eval_transform(settings.input_spec)):
            for number in range(10):
                expected = draw(transform, image.convert("RGB"), number)
                assert torch.equal(draw(transform, image, number), expected)


def test_a_transform_can_be_sent_to_a_process(tmp_path: Path) -> None:
    transform = train_transform(config(tmp_path))
    copied = pickle.loads(pickle.dumps(transform))
    for number in range(10):
        assert torch.equal(draw(copied, GRAY, number), draw(transform, GRAY, number))


@pytest.mark.parametrize(
    ("changes", "levels"),
    [({}, {128}), ({"mean": IMAGENET["mean"]}, {115})],
    ids=["gray", "color"],
)
def test_what_is_uncovered_is_filled_with_the_mean(
    tmp_path: Path, changes: dict[str, object], levels: set[int]
) -> None:
    """Of the three channels, where they differ: one channel stays one."""
    settings = config(
        tmp_path,
        aa="rand-m9-inc1-n3",
        reprob=0.0,
        scale=[1.0, 1.0],
        ratio=[1.0, 1.0],
        **changes,
    )
    turned = train_transform(settings)
    white = Image.fromarray(np.full((64, 64), 255, np.uint8))
    mean, std = torch.tensor(settings.mean)[:, None, None], torch.tensor(settings.std)[0]
    seen = []
    for number in range(40):
        pixels = ((draw(turned, white, number) * std + mean) * 255).round()
        assert torch.equal(pixels[0], pixels[1])
        assert torch.equal(pixels[0], pixels[2])
        seen.append(pixels.unique().tolist())
    assert levels <= {level for one in seen for level in one}
    assert any(set(one) == levels | {255} for one in seen)  # a shift by whole pixels


def test_erasing_follows_the_key(tmp_path: Path) -> None:
    erased = train_transform(config(tmp_path, reprob=1.0, aa=None))
    for picture in (GRAY, RGB):
        first = draw(erased, picture, 0)
        assert not torch.equal(draw(erased, picture, 1), first)
        assert torch.equal(draw(erased, picture, 0), first)
        assert first.abs().max() > 1.0  # normal noise goes beyond what pixels can be
        assert not torch.equal(first[0], first[1])


def test_eval_sees_the_whole_image_if_asked(tmp_path: Path) -> None:
    for picture in (GRAY, RGB):
        whole = eval_transform(config(tmp_path, crop_pct=1.0).input_spec)(picture)
        part = eval_transform(config(tmp_path, crop_pct=0.5).input_spec)(picture)
        assert whole.shape == part.shape == (3, 32, 32)
        assert not torch.equal(whole, part)
