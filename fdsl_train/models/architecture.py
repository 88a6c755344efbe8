"""Models, by timm's names."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import timm
import torch
from timm.models import PretrainedCfg, get_pretrained_cfg
from torch import nn

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.keys import Key
from fdsl_gen.core.settings import nearest
from fdsl_train.config import Resolved
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

    @classmethod
    def of(cls, settings: dict[str, Any]) -> "Architecture":
        """The architecture among the settings of a run."""
        values: dict[str, Any] = {
            field.name: settings.get(field.name) for field in dataclasses.fields(cls)
        }
        return cls(**values)

    def sizes(self) -> dict[str, int]:
        """The arguments for the model's constructor that are given."""
        values = dataclasses.asdict(self)
        del values["model"]
        if not published(self.model).fixed_input_size:
            del values["img_size"]  # a convolutional network takes any size, and no argument
        return {name: value for name, value in values.items() if value is not None}


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
    return _build(architecture, num_classes, {"drop_path_rate": drop_path} if drop_path else {})


def outline(architecture: Architecture, *, num_classes: int = 1) -> nn.Module:
    """The same model without memory for its weights: names and shapes, at no cost for any size.

    Raises:
        UsageError: if timm has no such model, or it does not take a setting.
    """
    with torch.device("meta"):
        return _build(architecture, num_classes, {})


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


def classifier_layers(model: nn.Module) -> list[nn.Module]:
    """The layers that give the classes: one, or the two of a distilled DeiT; none without head."""
    found: Any = model.get_classifier()  # type: ignore[operator]
    layers = found if isinstance(found, tuple) else (found,)
    return [layer for layer in layers if any(True for _ in layer.parameters())]


def freeze_backbone(model: nn.Module) -> None:
    """Leave gradients to the classifier alone: what a linear probe trains."""
    model.requires_grad_(False)
    for layer in classifier_layers(model):
        layer.requires_grad_(True)


def set_training_mode(model: nn.Module, *, frozen: bool) -> None:
    """Put a model into training mode.

    Args:
        model: a timm model, not wrapped.
        frozen: whether only the classifier trains. The rest then stays as it evaluates: no
            drop-path, no dropout, and batch norms neither use nor update statistics of the batch.
    """
    model.train(not frozen)
    if frozen:
        for layer in classifier_layers(model):
            layer.train()


def architecture_of(config: Resolved) -> Architecture:
    """The architecture a resolved recipe names."""
    return Architecture.of(config.to_dict())


def num_parameters(model: nn.Module) -> int:
    """Weights of a model, all of them."""
    return sum(parameter.numel() for parameter in model.parameters())
