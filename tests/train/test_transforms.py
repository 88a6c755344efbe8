"""timm's transforms as the recipes use them."""

from pathlib import Path

import numpy as np
import torch
from conftest import pattern, write_recipe
from PIL import Image

from fdsl_gen.seeding import Key
from fdsl_train.config import Resolved, load_config
from fdsl_train.randomness import seed_cpu
from fdsl_train.transforms import eval_transform, train_transform


def config(tmp_path: Path, **changes: object) -> Resolved:
    path = write_recipe(tmp_path / "tiny.yaml", **changes)
    return load_config(str(path), "pretrain", {}).resolve(32)


def test_randaugment_at_full_magnitude_never_raises(tmp_path: Path) -> None:
    """Pillow 13.0 refuses posterize with 0 bits, which magnitude 10 asks for."""
    full = train_transform(config(tmp_path, aa="rand-m10-mstd0.5-inc1-n4"))
    always = train_transform(config(tmp_path, aa="rand-m10-n4-inc1"))
    image = Image.fromarray(pattern(0, 0)).convert("RGB")
    for number in range(250):
        seed_cpu(Key(0, "test", (number,)))
        assert torch.isfinite(full(image)).all()
        assert torch.isfinite(always(image)).all()


def test_what_is_uncovered_is_filled_with_the_mean(tmp_path: Path) -> None:
    turned = train_transform(
        config(tmp_path, aa="rand-m9-inc1-n3", reprob=0.0, scale=[1.0, 1.0], ratio=[1.0, 1.0])
    )
    white = Image.fromarray(np.full((64, 64, 3), 255, np.uint8))
    values = set()
    for number in range(40):
        seed_cpu(Key(0, "test", (number,)))
        values |= set(turned(white).unique().tolist())
    assert any(abs(value - (128 / 255 - 0.5) / 0.5) < 1e-6 for value in values)


def test_erasing_follows_the_key(tmp_path: Path) -> None:
    erased = train_transform(config(tmp_path, reprob=1.0, aa=None))
    image = Image.fromarray(pattern(0, 0)).convert("RGB")

    def draw(number: int) -> torch.Tensor:
        seed_cpu(Key(0, "test", (number,)))
        return erased(image)

    first = draw(0)
    draw(1)
    assert torch.equal(draw(0), first)
    assert not torch.equal(draw(1), first)
    assert first.abs().max() > 1.0  # normal noise goes beyond what pixels can be


def test_eval_sees_the_whole_image_if_asked(tmp_path: Path) -> None:
    image = Image.fromarray(pattern(0, 0)).convert("RGB")
    whole = eval_transform(config(tmp_path, crop_pct=1.0))(image)
    part = eval_transform(config(tmp_path, crop_pct=0.5))(image)
    assert whole.shape == part.shape == (3, 32, 32)
    assert not torch.equal(whole, part)
