"""Trained weights to start fine-tuning from: a checkpoint of ours, or an exported folder."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from fdsl_gen.errors import UsageError
from fdsl_gen.seeding import Key
from fdsl_train import checkpoint
from fdsl_train.models import Architecture, create_model
from fdsl_train.randomness import seed_all


@dataclass(frozen=True)
class Trained:
    """A trained model at rest.

    Attributes:
        name: where it was, for messages.
        architecture: what it was built from.
        num_classes: width of its head.
        weights: by name.
    """

    name: str
    architecture: Architecture
    num_classes: int
    weights: dict[str, Tensor]


def read_trained(path: Path) -> Trained:
    """Weights from ``last.pth.tar`` (or the like), from ``export/``, or from a run's folder.

    Raises:
        UsageError: if there is nothing of the kind.
    """
    if not path.is_dir():
        saved = checkpoint.load(path)
        architecture = Architecture.of(saved["config"])
        return Trained(str(path), architecture, saved["num_classes"], saved["model"])
    if (path / "config.json").exists():
        return _read_export(path)
    if (path / checkpoint.LAST).exists():
        return read_trained(path / checkpoint.LAST)
    raise UsageError(f"{path} holds neither {checkpoint.LAST} nor an exported config.json")


def _read_export(path: Path) -> Trained:
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
        weights = load_file(path / "model.safetensors")
        arguments: dict[str, Any] = config.get("model_args", {})
        side = config["pretrained_cfg"]["input_size"][-1]
        architecture = Architecture.of(
            arguments | {"model": config["architecture"], "img_size": side}
        )
        return Trained(str(path), architecture, config["num_classes"], weights)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise UsageError(f"{path} is not an exported model: {error}") from None


def model_for(
    trained: Trained, *, num_classes: int, img_size: int, drop_path: float, seed: int
) -> nn.Module:
    """The trained model with a new head.

    Args:
        trained: what to start from.
        num_classes: width of the new head.
        img_size: side of the input, pixels; positions are interpolated if it is another than in
            pre-training.
        drop_path: stochastic depth rate.
        seed: of the new head.

    Raises:
        UsageError: if the weights do not fit the architecture, or it has one input size only.
    """
    model: Any = create_model(
        trained.architecture, num_classes=trained.num_classes, drop_path=drop_path, seed=seed
    )
    try:
        model.load_state_dict(trained.weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise UsageError(f"the weights in {trained.name} do not fit: {reason}") from None
    if img_size != trained.architecture.img_size and hasattr(model, "set_input_size"):
        model.set_input_size(img_size=img_size)
    seed_all(Key(seed, "head"))
    model.reset_classifier(num_classes)
    fitted: nn.Module = model
    return fitted
