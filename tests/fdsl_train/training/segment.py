"""Settings of small segmentation runs, for tests."""

from pathlib import Path
from typing import Any

from fdsl_gen import generate, load_recipe
from fdsl_train.config import Resolved, load_config
from tests.fdsl_train.conftest import write_recipe

SEGMENT: dict[str, Any] = {
    "mixup": 0,
    "cutmix": 0,
    "aa": None,
    "reprob": 0,
    "smoothing": 0,
    "vflip": 0,
    "decoder_channels": 8,
    "photometric": 0.5,
    "cat_max_ratio": 0.9,
}


def resolved(folder: Path, **changes: Any) -> Resolved:
    """A tiny run."""
    path = write_recipe(folder / "segment.yaml", **(SEGMENT | changes))
    return load_config(str(path), "pretrain", {}).resolve(32)


def write_masked(folder: Path, **more: Any) -> Path:
    """12 images of contours with masks of 4 classes, in two shards."""
    sizes: dict[str, Any] = {"num_categories": 3, "num_images": 12, "image_size": 32} | more
    generate(load_recipe("segrcdb", num_shards=2, num_objects=4, **sizes), folder, workers=1)
    return folder
