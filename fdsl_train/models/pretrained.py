"""Trained weights to start from: a checkpoint of ours, an exported folder, or a file of others."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from xxhash import xxh3_128

from fdsl_gen.core.errors import UsageError
from fdsl_train.models.architecture import Architecture, published
from fdsl_train.models.third_party import load_file_of, model_name_in, weights_in
from fdsl_train.training import checkpoint

# Arguments of a constructor that an export lists and that need no field: the first is read apart,
# the others are those of every model here.
_IMPLIED = {"num_classes", "in_chans", "global_pool"}


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What images a model was made for; the fields are those of the same name in a recipe."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    crop_pct: float

    @classmethod
    def of(cls, settings: dict[str, Any]) -> "Inputs":
        """The fields among the settings of a run or of an export."""
        return cls(
            mean=tuple(settings["mean"]),
            std=tuple(settings["std"]),
            interpolation=settings["interpolation"],
            crop_pct=settings["crop_pct"],
        )

    def settings(self) -> dict[str, Any]:
        """The fields by name."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A trained model at rest.

    Attributes:
        name: where it was, for messages.
        architecture: what it was built from.
        inputs: the images it was made for.
        num_classes: width of its head; None if it has none.
        class_names: by label, if they are known.
        weights: by name.
    """

    name: str
    architecture: Architecture
    inputs: Inputs
    num_classes: int | None
    class_names: tuple[str, ...] | None
    weights: dict[str, Tensor]

    def digest(self) -> str:
        """Hexadecimal; the same for the same weights, wherever they were read."""
        hashed = xxh3_128()
        for name in sorted(self.weights):
            hashed.update(name.encode())
            flat = self.weights[name].contiguous().view(-1).view(torch.uint8)
            hashed.update(flat.numpy().data)
        return hashed.hexdigest()


def read_trained(
    path: Path, asked: dict[str, Any] | None = None, *, averaged: bool = False
) -> Trained:
    """Weights from a run's folder, its ``export/``, a checkpoint, or a file of others.

    Args:
        path: of the file or folder.
        asked: ``model``, ``img_size`` and other fields of :class:`Architecture` that the user gave;
            a file of others needs the model unless it names it.
        averaged: take the moving average kept in the file.

    Raises:
        UsageError: if there is nothing of the kind, or it is of another architecture than asked.
    """
    asked = asked or {}
    if path.is_dir():
        if (path / "config.json").exists():
            trained = _read_export(path)
        elif (path / checkpoint.LAST).exists():
            return read_trained(path / checkpoint.LAST, asked, averaged=averaged)
        else:
            raise UsageError(f"{path} holds neither {checkpoint.LAST} nor an exported config.json")
        if averaged:
            raise UsageError(f"{path} holds one set of weights; leave --use-ema out")
    else:
        payload = load_file_of(path)
        if "format" in payload and "config" in payload:
            trained = _read_ours(path, payload, averaged)
        else:
            return _read_foreign(path, payload, asked, averaged)
    for name, value in asked.items():
        if (
            value is not None
            and name != "img_size"
            and value != getattr(trained.architecture, name)
        ):
            raise UsageError(
                f"{name}: {path} was trained with {getattr(trained.architecture, name)},"
                f" not {value}; leave it out"
            )
    return trained


def _read_ours(path: Path, payload: dict[str, Any], averaged: bool) -> Trained:
    if payload["format"] != checkpoint.FORMAT:
        raise UsageError(f"{path} is not a checkpoint made by this version of fdsl-train")
    names = payload["class_names"]
    return Trained(
        name=str(path),
        architecture=Architecture.of(payload["config"]),
        inputs=Inputs.of(payload["config"]),
        num_classes=payload["num_classes"],
        class_names=None if names is None else tuple(names),
        weights=weights_in(payload, str(path), averaged=averaged),
    )


def _read_export(path: Path) -> Trained:
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
        arguments: dict[str, Any] = config.get("model_args", {})
        inputs = config["pretrained_cfg"]
        architecture = Architecture.of(
            arguments | {"model": config["architecture"], "img_size": inputs["input_size"][-1]}
        )
        known = {field.name for field in dataclasses.fields(Architecture)}
        strange = sorted(arguments.keys() - known - _IMPLIED)
        if strange:
            raise UsageError(
                f"{path} was built with {strange[0]}={arguments[strange[0]]}, which fdsl-train has"
                " no setting for"
            )
        names = config.get("label_names")
        return Trained(
            name=str(path),
            architecture=architecture,
            inputs=Inputs.of(inputs),
            num_classes=config["num_classes"] or None,
            class_names=None if names is None else tuple(names),
            weights=load_file_of(path / "model.safetensors"),
        )
    except UsageError:
        raise
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"{path} is not an exported model: {error}") from None


def _read_foreign(
    path: Path, payload: dict[str, Any], asked: dict[str, Any], averaged: bool
) -> Trained:
    model = asked.get("model") or model_name_in(payload)
    if model is None:
        raise UsageError(f"{path} does not say what model it is of; give timm's name with --model")
    inputs = dataclasses.asdict(published(model))
    weights = weights_in(payload, str(path), averaged=averaged)
    size = {"model": model, "img_size": asked.get("img_size") or inputs["input_size"][-1]}
    return Trained(
        name=str(path),
        architecture=Architecture.of(asked | size),
        inputs=Inputs.of(inputs),
        num_classes=_head_width(model, weights),
        class_names=None,
        weights=weights,
    )


def _head_width(model: str, weights: dict[str, Tensor]) -> int | None:
    """Classes of the head among ``weights``; the authors of Swin call theirs ``head``."""
    given = published(model).classifier or ()
    names = [given] if isinstance(given, str) else list(given)
    for name in [*names, "head"]:
        if f"{name}.weight" in weights:
            return len(weights[f"{name}.weight"])
    return None
