"""A model with trained weights: at another input size, with another head."""

import dataclasses
import sys
import warnings

from timm.models import model_entrypoint
from torch import Tensor, nn

from fdsl_gen.core.errors import UsageError
from fdsl_train.models.architecture import classifier_layers, create_model
from fdsl_train.models.pretrained import Trained


def model_for(
    trained: Trained,
    *,
    num_classes: int | None = None,
    img_size: int | None = None,
    drop_path: float = 0.0,
    seed: int = 0,
) -> nn.Module:
    """The trained model, with its own head or with a new one.

    Args:
        trained: what to start from.
        num_classes: width of the new head; None keeps the trained one.
        img_size: side of the input, pixels; where it is another than in training, position
            embeddings and tables of relative positions are interpolated. None: as trained.
        drop_path: stochastic depth rate.
        seed: of the new head.

    Raises:
        UsageError: if the weights do not fit the architecture.
    """
    width = num_classes or trained.num_classes
    if width is None:
        raise UsageError(f"{trained.name} has no head")
    side = img_size or trained.architecture.img_size
    architecture = dataclasses.replace(trained.architecture, img_size=side)
    model = create_model(architecture, num_classes=width, drop_path=drop_path, seed=seed)
    weights = _adapted(trained, model)
    if num_classes is not None:
        head = _head_names(model)
        weights = {name: value for name, value in weights.items() if name not in head}
        weights |= {name: value for name, value in model.state_dict().items() if name in head}
    _check_fit(trained, model, weights)
    model.load_state_dict(weights)
    return model


def _adapted(trained: Trained, model: nn.Module) -> dict[str, Tensor]:
    """The weights as ``model`` names and sizes them, by the rules timm has for its architecture."""
    family = sys.modules[model_entrypoint(trained.architecture.model).__module__]
    rules = getattr(family, "checkpoint_filter_fn", None)
    if rules is None:
        return trained.weights
    try:
        with warnings.catch_warnings():
            # Remarks of PyTorch on how timm computes there.
            warnings.filterwarnings("ignore", category=UserWarning, module=r"timm\.layers")
            adapted: dict[str, Tensor] = rules(dict(trained.weights), model)
    except (AttributeError, RuntimeError, ValueError, LookupError) as error:
        reason = str(error).splitlines()[0]
        raise _unfit(trained, reason) from None
    return adapted


def _head_names(model: nn.Module) -> set[str]:
    """Names of the weights of the classifier."""
    own = {id(p) for layer in classifier_layers(model) for p in layer.parameters()}
    return {name for name, parameter in model.named_parameters() if id(parameter) in own}


def _check_fit(trained: Trained, model: nn.Module, weights: dict[str, Tensor]) -> None:
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


def _unfit(trained: Trained, reason: str) -> UsageError:
    return UsageError(
        f"the weights in {trained.name} do not fit {trained.architecture.model}: {reason}"
    )
