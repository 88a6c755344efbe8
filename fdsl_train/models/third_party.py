"""Weights in files of others: timm's, and those that the authors of papers publish.

They stand at the top of a file or below a name, and under names that say which part of the training
method they were: ``module.base_encoder.blocks.0...``. What belongs to the method and not to the
model (decoders, projection heads, the second network) is left out.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from fdsl_gen.core.errors import UsageError
from fdsl_train.models.openmmlab import with_timm_names

# Where the weights are, the first that is there: timm, DeiT, MAE and BEiT; DINO and iBOT, whose
# teacher is the network that their authors evaluate; I-JEPA; DeepSpeed; many a tutorial.
_WEIGHTS: tuple[str, ...] = (
    *("model", "state_dict", "model_state_dict", "teacher", "target_encoder", "student"),
    *("base_encoder", "encoder", "backbone", "module", "net", "network", "weights"),
)
_AVERAGED = ("state_dict_ema", "model_ema", "ema", "teacher", "target_encoder")

# What stands before the names of a model inside a larger one, the first that is there:
# DistributedDataParallel, torch.compile, Lightning; DINO, MoCo v3 and v2; mmpretrain, SimMIM.
_PREFIXES = (
    *("module.", "_orig_mod.", "model.", "teacher.", "student.", "base_encoder."),
    *("encoder_q.", "backbone.", "encoder.", "net.", "network."),
)
_LEAST_SHARE = 0.25  # of the names; fewer are no model but a part of one

_NAMES = ("class_names", "label_names", "classes", "CLASSES", "class_to_idx", "idx_to_class")


@dataclass(frozen=True)
class Found:
    """The weights of a model in a file of others.

    Attributes:
        weights: by the model's own names.
        notes: what else was in the file and is not used, in words.
    """

    weights: dict[str, Tensor]
    notes: tuple[str, ...] = ()


def weights_in(
    payload: dict[str, Any],
    name: str,
    *,
    own: set[str],
    classifiers: tuple[str, ...],
    averaged: bool,
) -> Found:
    """The weights of a model, by its own names.

    Args:
        payload: what the file holds.
        name: of the file, for messages.
        own: names of the weights of the model wanted.
        classifiers: names of its last layers; of another kind they are the head of a method.
        averaged: take the moving average that was kept beside the weights.

    Raises:
        UsageError: if there are none.
    """
    found, place = _dictionary(payload, _AVERAGED if averaged else _WEIGHTS)
    if averaged and place is None:
        raise UsageError(f"{name} holds no averaged weights; leave --use-ema out")
    weights = {
        key: value
        for key, value in found.items()
        if isinstance(value, Tensor) and isinstance(key, str)
    }
    if not weights:
        raise UsageError(
            f"{name} holds no weights, neither at its top nor under {', '.join(_WEIGHTS[:-1])}"
            f" or {_WEIGHTS[-1]}"
        )
    notes = []
    if place == "teacher" and "student" in payload and not averaged:
        notes.append("the weights are the teacher's, as the method evaluates them")
    sorter = _Sorter(weights)
    sorter.unwrap(own, {f"{layer}.{part}" for layer in classifiers for part in ("weight", "bias")})
    sorter.weights, norms = with_timm_names(sorter.weights, own)
    if norms:
        notes.append(f"norms of stages before the last are left out, timm has none ({norms})")
    sorter.leave_out(lambda key: key.startswith(("decoder_", "decoder.")) and key not in own)
    if sorter.left_out:
        sorter.leave_out(lambda key: key in ("mask_token", "masked_embed") and key not in own)
    heads = [layer for layer in classifiers if f"{layer}.weight" not in sorter.weights]
    beginnings = tuple(f"{layer}." for layer in heads)
    sorter.leave_out(lambda key: key.startswith(beginnings) and key not in own)
    if sorter.left_out:
        counts = Counter(key.split(".")[0].split("_")[0] for key in sorter.left_out)
        shown = ", ".join(f"{part} ({count})" for part, count in sorted(counts.items()))
        notes.append(f"weights that are not the model's are left out: {shown}")
    return Found(sorter.weights, tuple(notes))


class _Sorter:
    """Parts the weights of a model from those of what was around it."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        self.weights = weights
        self.left_out: list[str] = []

    def unwrap(self, own: set[str], classifier: set[str]) -> None:
        """Take the network that the prefixes name; a classifier beside it goes with it."""
        while prefix := self._prefix(own):
            inside = {
                k.removeprefix(prefix): v for k, v in self.weights.items() if k.startswith(prefix)
            }
            beside = {k: v for k, v in self.weights.items() if not k.startswith(prefix)}
            kept = {k: v for k, v in beside.items() if k in classifier and k not in inside}
            self.left_out += beside.keys() - kept.keys()
            self.weights = inside | kept

    def _prefix(self, own: set[str]) -> str | None:
        for prefix in _PREFIXES:
            count = sum(key.startswith(prefix) for key in self.weights)
            ours = any(key.startswith(prefix) for key in own)
            if count and not ours and count >= _LEAST_SHARE * len(self.weights):
                return prefix
        return None

    def leave_out(self, unwanted: Callable[[str], bool]) -> None:
        """Drop the weights of some names."""
        names = [key for key in self.weights if unwanted(key)]
        self.left_out += names
        self.weights = {key: v for key, v in self.weights.items() if key not in set(names)}


def _dictionary(
    payload: dict[str, Any], places: tuple[str, ...]
) -> tuple[dict[str, Any], str | None]:
    """The dictionary of weights, and the name it stands under; None: at the top."""
    found, name = payload, None
    for _ in range(4):  # {"state_dict": {"teacher": ...}}
        key = next((key for key in places if isinstance(found.get(key), dict)), None)
        if key is None:
            break
        found, name, places = found[key], key, _WEIGHTS
    return found, name


def model_name_in(payload: dict[str, Any]) -> str | None:
    """The model that the file says its weights are of; timm's training script writes it."""
    name = payload.get("arch")
    return name if isinstance(name, str) else None


def class_names_in(payload: dict[str, Any]) -> tuple[str, ...] | None:
    """The names of the classes by label, where a file has them under one of the usual names."""
    for place in (payload, payload.get("meta"), payload.get("dataset_meta")):
        if not isinstance(place, dict):
            continue
        for key in _NAMES:
            names = as_class_names(place.get(key))
            if names is not None:
                return names
    return None


def as_class_names(value: Any) -> tuple[str, ...] | None:
    """Names by label from a list of names, or a dictionary either way; None from anything else."""
    if isinstance(value, dict):
        pairs = [(k, v) if isinstance(v, str) else (v, k) for k, v in value.items()]
        try:
            labels = {int(label): name for label, name in pairs}
            value = [labels[i] for i in range(len(pairs))]
        except (TypeError, ValueError, LookupError):
            return None
    if not isinstance(value, list | tuple) or not value:
        return None
    return tuple(value) if all(isinstance(name, str) for name in value) else None
