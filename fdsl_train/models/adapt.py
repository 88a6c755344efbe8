"""A model with trained weights: at another input size, with another head."""

import dataclasses
import sys
import warnings
from collections.abc import Sequence

import torch
from timm.models import model_entrypoint
from torch import Tensor, nn

from fdsl_gen.core.errors import UsageError
from fdsl_train.models.architecture import (
    Architecture,
    classifier_layers,
    classifiers_of,
    create_model,
    encoder_of,
    outline,
)
from fdsl_train.models.differences import difference
from fdsl_train.models.pretrained import PretrainedWeights
from fdsl_train.models.segmenter import ENCODER

_ROOM = 100_000_000  # weights that a model may have beyond twice those of its file: 400 MB


def build_from_pretrained(
    trained: PretrainedWeights,
    *,
    num_classes: int | None = None,
    img_size: int | None = None,
    drop_path: float = 0.0,
    seed: int = 0,
    labels: Sequence[int] | None = None,
    architecture: Architecture | None = None,
    keep_decoder: bool = True,
) -> nn.Module:
    """The trained model, with its own head or with a new one.

    Its encoder may get a decoder, or lose it.

    Args:
        trained: what to start from.
        num_classes: width of the new head; None keeps the trained one.
        img_size: side of the input, pixels; where it is another than in training, position
            embeddings and tables of relative positions are interpolated. None: as trained.
        drop_path: stochastic depth rate.
        seed: of the new head.
        labels: of a head that is kept, the trained label for each label of the model; None leaves
            them as they are.
        architecture: with another decoder than the trained one, or none; None: as trained.
        keep_decoder: take the trained decoder; else a new one is drawn.

    Raises:
        UsageError: if the weights do not fit the architecture, or are not finite.
    """
    width = num_classes or trained.num_classes
    if width is None:
        raise UsageError(f"{trained.name} has no head")
    architecture = architecture or trained.architecture
    side = img_size or trained.architecture.img_size
    architecture = dataclasses.replace(architecture, img_size=side)
    _check_amount(trained, architecture)
    model = create_model(architecture, num_classes=width, drop_path=drop_path, seed=seed)
    reason = difference(trained.encoder_weights, encoder_of(model))
    if reason is not None:
        raise _unfit(trained, reason)
    weights = _adapted(trained, encoder_of(model))
    head = _head_names(model)
    if num_classes is not None:
        _check_finite(trained, weights)  # a head with NaN tells of a run that came to nothing
    if {trained.architecture.decoder, architecture.decoder} != {None}:
        weights = _around_encoder(trained, architecture, weights, model, keep_decoder)
    if num_classes is not None:
        weights = {name: value for name, value in weights.items() if name not in head}
        weights |= {name: value for name, value in model.state_dict().items() if name in head}
    _check_fit(trained, model, weights)
    _check_finite(trained, weights)
    if labels is not None:
        rows = torch.tensor(list(labels))
        weights |= {name: weights[name][rows] for name in head}
    model.load_state_dict(weights)
    return model


def _around_encoder(
    trained: PretrainedWeights,
    architecture: Architecture,
    encoder: dict[str, Tensor],
    model: nn.Module,
    keep_decoder: bool,
) -> dict[str, Tensor]:
    """The weights of the encoder by the model's names, with those of its decoder and last layer."""
    theirs = classifiers_of(architecture.model)
    beginnings = tuple(f"{name}." for name in theirs)
    encoder = {name: value for name, value in encoder.items() if not name.startswith(beginnings)}
    if architecture.decoder is None:
        return encoder
    found = {ENCODER + name: value for name, value in encoder.items()}
    above = model.state_dict()
    if keep_decoder:
        if architecture.decoder != trained.architecture.decoder:
            raise _unfit(trained, f"their decoder is {trained.architecture.decoder or 'missing'}")
        above = trained.weights
    return found | {k: value for k, value in above.items() if not k.startswith(ENCODER)}


def resize_note(trained: PretrainedWeights, img_size: int | None) -> str | None:
    """What another input size means for the weights, in words; None if nothing."""
    before = trained.architecture.img_size
    tables = ("pos_embed", "relative_position", "rel_pos")
    if img_size in (None, before) or not any(part in k for k in trained.weights for part in tables):
        return None
    return f"positions are interpolated from {before} px to {img_size} px"


def _check_amount(trained: PretrainedWeights, architecture: Architecture) -> None:
    """A model far larger than its file is a mistake in a size, and would fill the memory."""
    depth, held = architecture.depth, sum(value.numel() for value in trained.weights.values())
    count = 0
    if depth is None or depth <= len(trained.weights):
        count = sum(p.numel() for p in outline(architecture).state_dict().values())
    if count == 0 or count > 2 * held + _ROOM:
        sizes = ", ".join(f"{key}={value}" for key, value in architecture.sizes().items())
        raise _unfit(trained, f"they are {held}, far fewer than a model with {sizes} has")


def _adapted(trained: PretrainedWeights, model: nn.Module) -> dict[str, Tensor]:
    """The weights as ``model`` names and sizes them, by the rules timm has for its architecture."""
    family = sys.modules[model_entrypoint(trained.architecture.model).__module__]
    rules = getattr(family, "checkpoint_filter_fn", None)
    if rules is None:
        return trained.encoder_weights
    try:
        with warnings.catch_warnings():
            # Remarks of PyTorch on how timm computes there.
            warnings.filterwarnings("ignore", category=UserWarning, module=r"timm\.layers")
            adapted: dict[str, Tensor] = rules(dict(trained.encoder_weights), model)
    except (AttributeError, RuntimeError, ValueError, LookupError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise _unfit(trained, reason) from None
    return adapted


def _head_names(model: nn.Module) -> set[str]:
    """Names of the weights of the classifier."""
    own = {id(p) for layer in classifier_layers(model) for p in layer.parameters()}
    return {name for name, parameter in model.named_parameters() if id(parameter) in own}


def _check_fit(trained: PretrainedWeights, model: nn.Module, weights: dict[str, Tensor]) -> None:
    own = model.state_dict()
    lacking, extra = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    if lacking:
        raise _unfit(trained, f"{lacking[0]} is missing ({len(lacking)} of {len(own)} are)")
    if extra:
        raise _unfit(
            trained, f"the model has no {extra[0]} ({len(extra)} of {len(weights)} are extra)"
        )
    for name, value in weights.items():
        if value.shape != own[name].shape:
            raise _unfit(
                trained, f"{name} is {tuple(value.shape)}, the model's is {tuple(own[name].shape)}"
            )


def _check_finite(trained: PretrainedWeights, weights: dict[str, Tensor]) -> None:
    for name, value in weights.items():
        if value.is_complex() or not bool(torch.isfinite(value.float()).all()):
            bad = int(value.numel() - torch.isfinite(value.float()).sum())
            raise UsageError(
                f"the weights in {trained.name} are not finite: {name} holds NaN or infinity"
                f" {bad} times; the run that wrote them came to nothing"
            )


def _unfit(trained: PretrainedWeights, reason: str) -> UsageError:
    return UsageError(
        f"the weights in {trained.name} do not fit {trained.architecture.model}: {reason}"
    )
