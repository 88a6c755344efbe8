"""A trained model as a folder for ``timm.create_model('local-dir:...', pretrained=True)``."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from timm.models import save_for_hf
from torch import Tensor, nn

from fdsl_gen.core.errors import FdslError
from fdsl_train.config import Resolved
from fdsl_train.data.holdout import HeldOut
from fdsl_train.models.architecture import encoder_of, published
from fdsl_train.models.segmenter import Segmenter
from fdsl_train.models.value_digest import value_digest
from fdsl_train.training.run_dir import EXPORT

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
SEGMENTER_CONFIG = "segmenter.json"
SEGMENTER_WEIGHTS = "segmenter.safetensors"  # of encoder, decoder and last layer
# Entries of the configuration that timm skips: digest of all others and of the weights; what the
# model was not trained on.
DIGEST = "fdsl_digest"
HELD_OUT = "fdsl_held_out"

# Settings of a run that say what a segmenter is and how it looks at images.
_OF_SEGMENTERS = ("decoder", "decoder_channels", "eval_mode", "short_side", "eval_stride")
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
    output: Path,
    model: nn.Module,
    config: Resolved,
    class_names: tuple[str, ...] | None,
    held_out: HeldOut | None = None,
) -> Path:
    """Write ``export/model.safetensors`` and ``export/config.json``, both or nothing.

    Of a segmenter these are its encoder, and ``segmenter.safetensors`` and ``segmenter.json`` hold
    the whole of it.

    Args:
        output: folder of the run.
        model: what to export.
        config: gives input size, mean, std, interpolation and crop.
        class_names: by label; None leaves them out.
        held_out: what of the data was not trained on, if a share was held out.

    Returns:
        The folder.

    Raises:
        FdslError: if it cannot be written.
    """
    fresh, final = output / f".{EXPORT}.tmp", output / EXPORT
    try:
        shutil.rmtree(fresh, ignore_errors=True)  # left by a run that was killed here
        _write(fresh, model, config, class_names, held_out)
        if final.exists():
            shutil.rmtree(final)
        fresh.rename(final)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise FdslError(
            f"cannot write the export {final}: {reason}; the checkpoint of the last step is whole:"
            " make room and start the same command with --resume auto"
        ) from None
    return final


def digest_of(config: dict[str, Any], weights: dict[str, Tensor]) -> str:
    """What :data:`DIGEST` must be in an export of these parts."""
    rest = {key: config[key] for key in sorted(config) if key != DIGEST}
    return value_digest([rest, {name: weights[name] for name in sorted(weights)}])


def _write(
    folder: Path,
    model: nn.Module,
    config: Resolved,
    class_names: tuple[str, ...] | None,
    held_out: HeldOut | None,
) -> None:
    encoder = encoder_of(model)
    # timm would repeat what it knows of its own weights of this architecture.
    known = dataclasses.asdict(published(config.model))
    not_ours = {key: None for key in _OF_TIMMS_WEIGHTS if known.get(key) is not None}
    settings: dict[str, Any] = {"pretrained_cfg": not_ours | {"tag": "fdsl", "license": None}}
    if class_names is not None and encoder is model:
        settings["label_names"] = list(class_names)
    save_for_hf(
        encoder,
        str(folder),
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
    written = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    if held_out is not None:
        written[HELD_OUT] = vars(held_out)
    _seal(folder, CONFIG, WEIGHTS, written)
    if isinstance(model, Segmenter):
        save_file(model.state_dict(), folder / SEGMENTER_WEIGHTS)
        whole = {name: getattr(config, name) for name in _OF_SEGMENTERS}
        whole |= {"num_classes": model.head.out_channels, "label_names": class_names}
        _seal(folder, SEGMENTER_CONFIG, SEGMENTER_WEIGHTS, whole)


def _seal(folder: Path, config: str, weights: str, content: dict[str, Any]) -> None:
    """Write a configuration with the digest of it and of the weights beside it."""
    content = json.loads(json.dumps(content))  # tuples as the lists they will be read as
    content[DIGEST] = digest_of(content, load_file(folder / weights))
    (folder / config).write_text(json.dumps(content, indent=2), encoding="utf-8")
    # safetensors makes its file for the owner only; others may read what they may read elsewhere.
    (folder / weights).chmod((folder / config).stat().st_mode)
