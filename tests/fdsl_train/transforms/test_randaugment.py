"""RandAugment on one channel against timm's on RGB, operation by operation."""

import random
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from timm.data.auto_augment import posterize, rand_augment_transform
from timm.data.transforms import str_to_pil_interp

from fdsl_gen.core.keys import Key
from fdsl_train.training.randomness import seed_cpu
from fdsl_train.transforms.randaugment import gray_randaugment

SIDE = 40
FILL = 117
RECIPES = "rand-m9-mstd0.5-inc1"
OPERATIONS = [
    "AutoContrast",
    "Equalize",
    "Invert",
    "Rotate",
    "PosterizeIncreasing",
    "SolarizeIncreasing",
    "SolarizeAdd",
    "ColorIncreasing",
    "ContrastIncreasing",
    "BrightnessIncreasing",
    "SharpnessIncreasing",
    "ShearX",
    "ShearY",
    "TranslateXRel",
    "TranslateYRel",
]


def both(text: str, interpolation: str = "bicubic") -> tuple[Callable, Callable]:
    """Ours for mode L, and timm's for RGB with the same fill."""
    settings = {
        "translate_const": int(SIDE * 0.45),
        "img_mean": (FILL,) * 3,
        "interpolation": str_to_pil_interp(interpolation),
    }
    ours = gray_randaugment(text, size=SIDE, fill=FILL, interpolation=interpolation)
    return ours, rand_augment_transform(text, settings)


def images() -> list[NDArray[np.uint8]]:
    """Noise, a two-level image, one of few levels far from black and white, and an even one."""
    rng = np.random.default_rng(3)
    noise = rng.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    return [
        noise,
        (noise > 200).astype(np.uint8) * 255,
        90 + noise // 64 * 17,
        np.full((SIDE, SIDE), 77, np.uint8),
    ]


def same(ours: Callable, timm: Callable, image: NDArray[np.uint8], number: int) -> bool:
    """Whether both give the same pixels from the same state of the generators."""
    gray = Image.fromarray(image)
    seed_cpu(Key(0, "test", (number,)))
    one = np.asarray(ours(gray))
    left = random.getstate()
    seed_cpu(Key(0, "test", (number,)))
    three = np.asarray(timm(gray.convert("RGB")))
    return left == random.getstate() and bool((three == one[:, :, None]).all())


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_equals_timms_on_rgb(name: str, interpolation: str) -> None:
    for magnitude in (0, 1, 3, 5, 7, 9, 10):
        ours, timm = both(f"rand-m{magnitude}-mstd0.5-inc1", interpolation)
        (own,) = (op for op in ours.ops if op.name == name)
        (theirs,) = (op for op in timm.ops if op.name == name)
        own.prob = theirs.prob = 1.0
        for number in range(3):
            for image in images():
                assert same(own, theirs, image, number), f"magnitude {magnitude}, draw {number}"


def test_these_are_all_operations() -> None:
    ours, timm = both(RECIPES)
    assert [op.name for op in ours.ops] == [op.name for op in timm.ops] == OPERATIONS


@pytest.mark.parametrize("text", [RECIPES, "rand-m10-n4-inc1", "rand-m7-n3-mstd1"])
def test_sequences_equal_timms_on_rgb(text: str) -> None:
    ours, timm = both(text)
    for number in range(40):
        for image in images():
            assert same(ours, timm, image, number)


def test_shears_and_shifts_are_ours() -> None:
    """Else they would still be right, but twelve times slower."""
    ours, timm = both(RECIPES)
    pairs = zip(ours.ops, timm.ops, strict=True)
    replaced = {own.name for own, theirs in pairs if own.aug_fn is not theirs.aug_fn}
    assert replaced == {"ShearX", "ShearY", "TranslateXRel", "TranslateYRel"}


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_full_magnitude_never_raises(mode: str) -> None:
    """10,000 images; Pillow 13.0 refuses to posterize to 0 bits, which magnitude 10 asks for."""
    ours, timm = both("rand-m10-n2-inc1")
    augment = ours if mode == "L" else timm
    noise = np.random.default_rng(4).integers(0, 256, (8, 8), dtype=np.uint8)
    image = Image.fromarray(noise).convert(mode)
    seed_cpu(Key(0, "test"))
    for _ in range(10_000):
        changed = augment(image)
        assert changed.mode == mode
        assert changed.size == (8, 8)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_posterize_takes_no_bits_at_all(mode: str) -> None:
    """The trap itself: with a Pillow that refuses this, long runs end at random."""
    changed = posterize(Image.new(mode, (4, 4), "white"), 0)
    assert not np.asarray(changed).any()
