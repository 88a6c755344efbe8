"""Trained weights to start from: a checkpoint of ours, an exported folder, or a file of others."""

import dataclasses
import math
import os
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from fdsl_gen.core import settings as core_settings
from fdsl_gen.core.errors import Mismatch, UsageError
from fdsl_gen.core.json_text import parse_json, read_bounded
from fdsl_train.config import TrainConfig
from fdsl_train.data.holdout import HeldOut
from fdsl_train.models import export
from fdsl_train.models.architecture import Architecture, classifiers_of, outline, published
from fdsl_train.models.segmenter import ENCODER
from fdsl_train.models.third_party import (
    as_class_names,
    class_names_in,
    model_name_in,
    weights_in,
)
from fdsl_train.models.torch_file import not_a_checkpoint, read_torch_file
from fdsl_train.models.value_digest import value_digest
from fdsl_train.models.weight_files import check_regular
from fdsl_train.training import checkpoint

# Arguments of a constructor that an export lists and that need no field: the first is read apart,
# the others are those of every model here.
_IMPLIED = {"num_classes", "in_chans", "global_pool"}
_INPUTS_OF_TIMM = ("mean", "std", "interpolation", "crop_pct")
_MOST_JSON = 64_000_000  # bytes; the names of 22,000 classes take two million


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What images a model was made for; the fields are those of the same name in a recipe."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    crop_pct: float
    eval_mode: str = "whole"
    short_side: int | None = None
    eval_stride: int | None = None

    @classmethod
    def of(cls, settings: dict[str, Any], name: str) -> "Inputs":
        """The fields among the settings of a run or of an export, which ``name`` holds.

        Raises:
            UsageError: if one is missing, or cannot be.
        """
        inputs = cls(**_checked(cls, settings, name))
        for field in ("mean", "std"):
            if len(getattr(inputs, field)) != 3:
                raise UsageError(f"{name}: {field} must be 3 numbers, one for each color")
        return inputs

    def settings(self) -> dict[str, Any]:
        """The fields by name."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, kw_only=True)
class PretrainedWeights:
    """A trained model at rest.

    Attributes:
        name: where it was, for messages.
        architecture: what it was built from.
        inputs: the images it was made for.
        num_classes: width of its head; None if it has none.
        class_names: by label, if they are known.
        weights: by name.
        notes: what the user should know of how the file was read.
        held_out: what of its data the model was not trained on, if a share was held out.
    """

    name: str
    architecture: Architecture
    inputs: Inputs
    num_classes: int | None
    class_names: tuple[str, ...] | None
    weights: dict[str, Tensor]
    notes: tuple[str, ...] = ()
    held_out: HeldOut | None = None

    @property
    def encoder_weights(self) -> dict[str, Tensor]:
        """Those of the model as timm made it, by its names; of a segmenter without a head."""
        if self.architecture.decoder is None:
            return self.weights
        return {
            name.removeprefix(ENCODER): value
            for name, value in self.weights.items()
            if name.startswith(ENCODER)
        }

    def digest(self) -> str:
        """Hexadecimal; the same for the same weights, wherever they were read."""
        return value_digest({name: self.weights[name] for name in sorted(self.weights)})


def read_pretrained(
    path: Path, asked: dict[str, Any] | None = None, *, averaged: bool = False
) -> PretrainedWeights:
    """Weights from a run's folder, its ``export/``, a checkpoint, or a file of others.

    Args:
        path: of the file or folder.
        asked: ``model``, ``img_size`` and other fields of :class:`Architecture` that the user gave;
            a file of others needs the model unless it names it.
        averaged: take the moving average kept in the file.

    Raises:
        UsageError: if there is nothing of the kind, or it is of another architecture than asked.
        Mismatch: if it is ours and damaged.
    """
    asked = asked or {}
    if os.path.isdir(path):  # unlike Path's, never raises, whatever the name
        if (path / export.CONFIG).exists():
            trained = _read_export(path)
        elif (path / checkpoint.LAST).exists():
            return read_pretrained(path / checkpoint.LAST, asked, averaged=averaged)
        else:
            raise UsageError(
                f"{path} holds neither {checkpoint.LAST} nor an exported {export.CONFIG}"
            )
        if averaged:
            raise UsageError(f"{path} holds one set of weights; leave --use-ema out")
    else:
        safe = path.suffix == ".safetensors"
        payload: dict[str, Any] = dict(_read_safetensors(path)) if safe else read_torch_file(path)
        if safe or not checkpoint.is_ours(payload):
            return _read_third_party(path, payload, asked, averaged)
        trained = _read_ours(path, payload, averaged)
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
    _check_head(trained)
    return trained


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    check_regular(path)
    try:
        return load_file(path)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    except (SafetensorError, ValueError, RuntimeError, LookupError, TypeError):
        raise not_a_checkpoint(path) from None


def _read_ours(path: Path, payload: dict[str, Any], averaged: bool) -> PretrainedWeights:
    checkpoint.check(path, payload)
    if averaged and "model_ema" not in payload:
        raise UsageError(f"{path} holds no averaged weights; leave --use-ema out")
    config, names = payload.get("config"), payload.get("class_names")
    weights = payload.get("model_ema" if averaged else "model")
    if not isinstance(weights, dict) or not isinstance(config, dict):
        raise not_a_checkpoint(path)
    return PretrainedWeights(
        name=str(path),
        architecture=_architecture(config, str(path)),
        inputs=Inputs.of(config, str(path)),
        num_classes=_count(payload.get("num_classes"), str(path)),
        class_names=None if names is None else as_class_names(names),
        weights={k: v for k, v in weights.items() if isinstance(v, Tensor)},
        held_out=HeldOut.from_saved(payload.get("held_out"), str(path)),
    )


def _read_export(path: Path) -> PretrainedWeights:
    where = path / export.CONFIG
    config = _read_json(where)
    weights = _read_safetensors(path / export.WEIGHTS)
    if export.DIGEST in config and config[export.DIGEST] != export.digest_of(config, weights):
        raise _damaged_export(path, export.CONFIG)
    arguments = config.get("model_args", {})
    inputs = config.get("pretrained_cfg", config)  # flat in timm before 0.9
    if not isinstance(arguments, dict) or not isinstance(inputs, dict):
        raise UsageError(f"{where}: model_args and pretrained_cfg must be mappings")
    if not isinstance(config.get("architecture"), str):
        raise UsageError(
            f"{where} names no architecture of timm's; it is no model exported by timm"
        )
    known = {field.name for field in dataclasses.fields(Architecture)}
    strange = sorted(arguments.keys() - known - _IMPLIED)
    if strange:
        raise UsageError(
            f"{path} was built with {strange[0]}={arguments[strange[0]]}, which fdsl-train has"
            " no setting for"
        )
    side = inputs.get("input_size")
    if not isinstance(side, list) or len(side) != 3 or side[1] != side[2]:
        raise UsageError(f"{where}: input_size must be [3, SIDE, SIDE], not {_short(side)}")
    usual = dataclasses.asdict(published(config["architecture"]))
    inputs = usual | {key: value for key, value in inputs.items() if value is not None}
    named = arguments | {"model": config["architecture"], "img_size": side[-1]}
    names = config.get("label_names", inputs.get("label_names"))
    count = config.get("num_classes", inputs.get("num_classes"))
    where, whole = path / export.SEGMENTER_CONFIG, path / export.SEGMENTER_WEIGHTS
    if where.exists():  # with a decoder on the model that timm knows
        dense = _read_json(where)
        weights = _read_safetensors(whole)
        if export.DIGEST in dense and dense[export.DIGEST] != export.digest_of(dense, weights):
            raise _damaged_export(path, export.SEGMENTER_CONFIG)
        named, inputs = named | dense, inputs | dense
        names, count = dense.get("label_names"), dense.get("num_classes")
    return PretrainedWeights(
        name=str(path),
        architecture=_architecture(named, str(where)),
        inputs=Inputs.of(inputs, str(where)),
        num_classes=None if count is None else _count(count, str(where)) or None,
        class_names=None if names is None else as_class_names(names),
        weights=weights,
        held_out=HeldOut.from_saved(config.get(export.HELD_OUT), str(where)),
    )


def _damaged_export(path: Path, config: str) -> Mismatch:
    return Mismatch(
        f"{path} is damaged: its files do not fit the digest in {config}; take another copy, or, if"
        f" you changed {config} yourself, delete {export.DIGEST!r} from it"
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = read_bounded(path, _MOST_JSON)
    except FileNotFoundError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    try:
        config = parse_json(content, str(path))
    except UsageError:
        raise UsageError(f"{path} is not an exported model: it is no sound JSON") from None
    if not isinstance(config, dict):
        raise UsageError(f"{path} is not an exported model: it must be a mapping")
    return config


def _read_third_party(
    path: Path, payload: dict[str, Any], asked: dict[str, Any], averaged: bool
) -> PretrainedWeights:
    model = asked.get("model") or model_name_in(payload)
    if model is None:
        raise UsageError(f"{path} does not say what model it is of; give timm's name with --model")
    inputs = dataclasses.asdict(published(model))
    size = {"model": model, "img_size": asked.get("img_size") or inputs["input_size"][-1]}
    architecture = Architecture.of(asked | size).classifier()
    empty = outline(architecture)
    classifiers = classifiers_of(model)
    own = set(empty.state_dict())
    found = weights_in(payload, str(path), own=own, classifiers=classifiers, averaged=averaged)
    side = _trained_side(found.weights, empty) or architecture.img_size
    return PretrainedWeights(
        name=str(path),
        architecture=dataclasses.replace(architecture, img_size=side),
        inputs=Inputs(**{name: inputs[name] for name in _INPUTS_OF_TIMM}),
        num_classes=_head_width(classifiers, found.weights),
        class_names=class_names_in(payload),
        weights=found.weights,
        notes=found.notes,
    )


def _trained_side(weights: dict[str, Tensor], model: nn.Module) -> int | None:
    """Side of the images, pixels, that the position embeddings of a vision transformer are for."""
    kernel, table = weights.get("patch_embed.proj.weight"), weights.get("pos_embed")
    if kernel is None or table is None or kernel.ndim != 4 or table.ndim != 3:
        return None
    if not hasattr(model, "num_prefix_tokens"):
        return None
    tokens = sum(
        weights[name].shape[-2]
        for name in ("cls_token", "dist_token", "reg_token", "register_tokens")
        if name in weights and weights[name].ndim == 3
    )
    for count in (table.shape[1] - tokens, table.shape[1] - 1, table.shape[1]):
        if count > 0 and math.isqrt(count) ** 2 == count:
            return math.isqrt(count) * kernel.shape[-1]
    return None


def _head_width(classifiers: tuple[str, ...], weights: dict[str, Tensor]) -> int | None:
    """Classes of the head among ``weights``; the authors of Swin call theirs ``head``."""
    for name in (*classifiers, "head"):
        weight = weights.get(f"{name}.weight")
        if weight is not None and weight.ndim > 0:
            return len(weight)
    return None


def _check_head(trained: PretrainedWeights) -> None:
    """A width that is only said must not be believed: a head of that size would be made."""
    width = _head_width(classifiers_of(trained.architecture.model), trained.weights)
    if trained.num_classes is not None and width not in (None, trained.num_classes):
        raise UsageError(
            f"{trained.name} says it has {trained.num_classes} classes, and its head has {width}"
        )
    if width is None and trained.num_classes is not None:
        raise UsageError(
            f"{trained.name} says it has {trained.num_classes} classes and has no head"
        )


def _architecture(settings: dict[str, Any], name: str) -> Architecture:
    return Architecture(**_checked(Architecture, settings, name))


def _checked(cls: Any, settings: dict[str, Any], name: str) -> dict[str, Any]:
    """The fields of ``cls`` among settings from a file, by the types and bounds of a recipe's."""
    annotations = typing.get_type_hints(TrainConfig)
    bounds = {field.name: field.metadata["bounds"] for field in dataclasses.fields(TrainConfig)}
    values = {}
    for field in dataclasses.fields(cls):
        value = settings.get(field.name)
        if value is None:
            if field.default is dataclasses.MISSING:
                raise UsageError(f"{name}: {field.name} is missing")
            values[field.name] = field.default
            continue
        try:
            values[field.name] = core_settings.convert(
                value, annotations[field.name], field.name, bounds[field.name]
            )
        except UsageError as error:
            raise UsageError(f"{name}: {_short(error)}") from None
        except (RecursionError, ValueError, OverflowError):
            raise UsageError(f"{name}: {field.name} cannot be what it is there") from None
    return values


def _count(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UsageError(f"{name}: num_classes must be an integer from 0 on, not {_short(value)}")
    return value


def _short(value: Any) -> str:
    """A value of a file, in a message."""
    try:
        text = str(value)
    except (RecursionError, ValueError):
        return "what it is there"
    return text if len(text) <= 200 else text[:200] + " ..."
