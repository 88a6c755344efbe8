"""Models, by timm's names, with a decoder where every pixel has a class."""

import dataclasses
from dataclasses import dataclass, fields
from typing import Any

import timm
import torch
from timm.layers.norm_act import convert_sync_batchnorm
from timm.models import PretrainedCfg, get_pretrained_cfg
from torch import nn

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.keys import Key
from fdsl_gen.core.settings import nearest
from fdsl_train.config import Decoder, TrainConfig
from fdsl_train.models.segmenter import (
    DEFAULT_CHANNELS,
    Segmenter,
    default_decoder,
    unused_parameters,
)
from fdsl_train.training.randomness import seed_all


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What a model is built from; null means the model's own choice.

    The fields are those of the same name in a recipe.
    """

    model: str
    img_size: int
    patch_size: int | None = None
    embed_dim: int | None = None
    depth: int | None = None
    num_heads: int | None = None
    decoder: Decoder | None = None
    decoder_channels: int | None = None

    @classmethod
    def of(cls, settings: dict[str, Any]) -> "Architecture":
        """The architecture among the settings of a run."""
        values: dict[str, Any] = {field.name: settings.get(field.name) for field in fields(cls)}
        return cls(**values)

    def sizes(self) -> dict[str, int]:
        """The arguments for the model's constructor that are given."""
        values = dataclasses.asdict(self)
        for name in ("model", "decoder", "decoder_channels"):
            del values[name]
        if not published(self.model).fixed_input_size:
            del values["img_size"]  # a convolutional network takes any size, and no argument
        return {name: value for name, value in values.items() if value is not None}

    def classifier(self) -> "Architecture":
        """The same without a decoder: one answer for an image."""
        return dataclasses.replace(self, decoder=None, decoder_channels=None)

    def segmenter(self) -> "Architecture":
        """The same with a decoder, the one that suits the model where none is named.

        Raises:
            UsageError: if timm has no such model, or gives no feature maps of it.
        """
        decoder = self.decoder or default_decoder(outline(self.classifier()))
        channels = None if decoder == "linear" else self.decoder_channels or DEFAULT_CHANNELS
        return dataclasses.replace(self, decoder=decoder, decoder_channels=channels)

    def for_labels(self, *, dense: bool) -> "Architecture":
        """With a decoder where every pixel has a class, and without one where not.

        Raises:
            UsageError: if a decoder is asked for and has nothing to do.
        """
        if dense:
            return self.segmenter()
        if self.decoder is not None or self.decoder_channels is not None:
            raise UsageError(
                "decoder: is for images whose pixels have classes, and these have labels; leave it"
                " out, or say --task segmentation of folders with masks"
            )
        return self


def published(model: str) -> PretrainedCfg:
    """What timm says of its own weights of a model: input size, mean, std, name of the classifier.

    Raises:
        UsageError: if timm has no such model.
    """
    if not timm.is_model(model):
        raise UsageError(f"model: timm has no model '{model}'{nearest(model, timm.list_models())}")
    return get_pretrained_cfg(model) or PretrainedCfg()


def create_model(
    architecture: Architecture, *, num_classes: int, drop_path: float, seed: int
) -> nn.Module:
    """A timm model with freshly drawn weights, which depend on ``seed`` only.

    Raises:
        UsageError: if timm has no such model, or it does not take a setting.
    """
    seed_all(Key(seed, "init"))
    more = {"drop_path_rate": drop_path} if drop_path else {}
    if architecture.decoder is None:
        return _build(architecture, num_classes, more)
    model = _segmenter(architecture, num_classes, more)
    with torch.device("meta"):
        twin = _segmenter(architecture, num_classes, {})
    for name in unused_parameters(twin, architecture.img_size):
        model.get_parameter(name).requires_grad_(False)  # several processes wait for gradients
    return model


def outline(architecture: Architecture, *, num_classes: int = 1) -> nn.Module:
    """The same model without memory for its weights: names and shapes, at no cost for any size.

    Raises:
        UsageError: if timm has no such model, or it does not take a setting.
    """
    with torch.device("meta"):
        if architecture.decoder is not None:
            return _segmenter(architecture, num_classes, {})
        return _build(architecture, num_classes, {})


def _segmenter(architecture: Architecture, num_classes: int, more: dict[str, Any]) -> Segmenter:
    encoder = _build(architecture, 0, more)
    channels = architecture.decoder_channels or DEFAULT_CHANNELS
    return Segmenter(encoder, architecture.decoder or "linear", channels, num_classes)


def _build(architecture: Architecture, num_classes: int, more: dict[str, Any]) -> nn.Module:
    name = architecture.model
    arguments: dict[str, Any] = architecture.sizes() | more
    try:
        model: nn.Module = timm.create_model(
            name, pretrained=False, num_classes=num_classes, **arguments
        )
    except (TypeError, ValueError, AssertionError, RuntimeError, OverflowError) as error:
        given = ", ".join(f"{key}={value}" for key, value in arguments.items())
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UsageError(f"model: {name} cannot be built with {given}: {reason}") from None
    return model


def classifiers_of(model: str) -> tuple[str, ...]:
    """Names of the last layers of a model of timm's."""
    given = published(model).classifier or ()
    return (given,) if isinstance(given, str) else tuple(given)


def classifier_layers(model: nn.Module) -> list[nn.Module]:
    """The layers that give the classes: one, or the two of a distilled DeiT; none without head."""
    found: Any = model.get_classifier()  # type: ignore[operator]
    layers = found if isinstance(found, tuple) else (found,)
    return [layer for layer in layers if any(True for _ in layer.parameters())]


def encoder_of(model: nn.Module) -> nn.Module:
    """The model as timm made it: of a segmenter its encoder."""
    return model.encoder if isinstance(model, Segmenter) else model


def _above_backbone(model: nn.Module) -> list[nn.Module]:
    """The classifier; of a segmenter also the decoder."""
    return model.above_encoder() if isinstance(model, Segmenter) else classifier_layers(model)


def freeze_backbone(model: nn.Module) -> None:
    """Leave gradients to what is above it alone: of a classifier a linear probe."""
    model.requires_grad_(False)
    for layer in _above_backbone(model):
        layer.requires_grad_(True)


def checkpoint_gradients(model: nn.Module) -> None:
    """Let the backward pass compute the activations of the encoder's blocks again.

    Raises:
        UsageError: if timm cannot do that with this model.
    """
    encoder: Any = encoder_of(model)
    try:
        encoder.set_grad_checkpointing(True)
    except (AttributeError, AssertionError):
        raise UsageError(
            f"grad_checkpointing: timm has none for {type(encoder).__name__}; leave it out"
        ) from None


def with_shared_norms(model: nn.Module, *, on_gpus: int) -> nn.Module:
    """The model with batch norms that see the images of all processes, weights the same tensors.

    Args:
        model: what to train.
        on_gpus: processes that train it, each on a GPU of its own. Below two nothing changes, and
            on CPUs PyTorch has no such layer.
    """
    has_norms = any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in model.modules())
    if on_gpus < 2 or not has_norms:
        return model
    shared: nn.Module = convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    return shared


def set_training_mode(model: nn.Module, *, frozen: bool) -> None:
    """Put a model into training mode.

    Args:
        model: not wrapped.
        frozen: whether only what is above the backbone trains. The rest then stays as it evaluates:
            no drop-path, no dropout, and batch norms neither use nor update statistics of the
            batch.
    """
    model.train(not frozen)
    if frozen:
        for layer in _above_backbone(model):
            layer.train()


def architecture_of(config: TrainConfig) -> Architecture:
    """The architecture that a recipe names; without a model, if it names none."""
    return Architecture.of(
        {field.name: getattr(config, field.name) for field in fields(Architecture)}
    )


def num_parameters(model: nn.Module) -> int:
    """Weights of a model, all of them."""
    return sum(parameter.numel() for parameter in model.parameters())
