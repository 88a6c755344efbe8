"""Image -> tensor, by timm's transforms.

RandAugment fills what it uncovers with the mean of the recipe, as timm does; with ``mean: 0.5``
that is grey. Random erasing acts on one sample at a time, so that its draws are keyed like the
others.
"""

from typing import Any, cast

from timm.data.transforms_factory import create_transform

from fdsl_train.config import Resolved
from fdsl_train.data.loader import Transform


def train_transform(config: Resolved) -> Transform:
    """Random crop, flips, RandAugment and erasing: PIL RGB -> float32 (3, img_size, img_size)."""
    return _create(
        config,
        is_training=True,
        scale=config.scale,
        ratio=config.ratio,
        hflip=config.hflip,
        vflip=config.vflip,
        color_jitter=None,  # timm ignores it beside RandAugment, as in the papers' runs
        auto_augment=config.aa,
        re_prob=config.reprob,
        re_mode=config.remode,
    )


def eval_transform(config: Resolved) -> Transform:
    """Resize and centre crop: PIL RGB -> float32 (3, img_size, img_size)."""
    return _create(config, is_training=False, crop_pct=config.crop_pct)


def _create(config: Resolved, **settings: Any) -> Transform:
    transform = create_transform(
        input_size=config.img_size,
        interpolation=config.interpolation,
        mean=config.mean,
        std=config.std,
        **settings,
    )
    return cast(Transform, transform)
