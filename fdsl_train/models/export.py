"""A trained model as a folder for ``timm.create_model('local-dir:...', pretrained=True)``."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

from timm.models import save_for_hf
from torch import nn

from fdsl_train.config import Resolved
from fdsl_train.models.architecture import published
from fdsl_train.training.run_dir import EXPORT

_OF_TIMMS_WEIGHTS = (
    "description",
    "origin_url",
    "paper_name",
    "paper_ids",
    "notes",
    "label_names",
    "label_descriptions",
    "test_input_size",
    "test_crop_pct",
)


def export(
    output: Path, model: nn.Module, config: Resolved, class_names: tuple[str, ...] | None
) -> Path:
    """Write ``export/model.safetensors`` and ``export/config.json``, both or nothing.

    Args:
        output: folder of the run.
        model: what to export.
        config: gives input size, mean, std, interpolation and crop.
        class_names: by label; None leaves them out.

    Returns:
        The folder.
    """
    fresh = output / f".{EXPORT}.tmp"
    shutil.rmtree(fresh, ignore_errors=True)  # left by a run that was killed here
    # timm would repeat what it knows of its own weights of this architecture.
    known = dataclasses.asdict(published(config.model))
    not_ours = {key: None for key in _OF_TIMMS_WEIGHTS if known.get(key) is not None}
    settings: dict[str, Any] = {"pretrained_cfg": not_ours | {"tag": "fdsl", "license": None}}
    if class_names is not None:
        settings["label_names"] = list(class_names)
    save_for_hf(
        model,
        str(fresh),
        model_config=settings,
        safe_serialization=True,
        data_config={
            "input_size": (3, config.img_size, config.img_size),
            "mean": config.mean,
            "std": config.std,
            "interpolation": config.interpolation,
            "crop_pct": config.crop_pct,
        },
    )
    # safetensors makes its file for the owner only; others may read what they may read elsewhere.
    mode = (fresh / "config.json").stat().st_mode
    (fresh / "model.safetensors").chmod(mode)
    final = output / EXPORT
    if final.exists():
        shutil.rmtree(final)
    fresh.rename(final)
    return final
