"""Settings of small segmentation runs, for tests."""

from pathlib import Path
from typing import Any

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
