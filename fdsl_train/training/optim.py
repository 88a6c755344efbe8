"""The optimizer, and the learning rate as a function of the step."""

import math
from functools import partial
from typing import Any

from timm.optim._optim_factory import create_optimizer_v2, list_optimizers
from timm.optim._param_groups import param_groups_layer_decay, param_groups_weight_decay
from torch import nn
from torch.optim import Optimizer

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.settings import nearest
from fdsl_train.config import Resolved
from fdsl_train.models.segmenter import Segmenter


def learning_rate(config: Resolved, step: int) -> float:
    """Learning rate of step ``step``, 0 <= step < steps.

    From ``warmup_lr`` at step 0 to the peak at step ``warmup_steps``, in a line, or for
    ``onecycle`` by half a cosine; then half a cosine, or for ``poly`` a power of the share of steps
    left, down to ``min_lr`` at step ``steps``, the first that is not taken. PyTorch's OneCycleLR
    also moves the momentum; this does not.
    """
    if step < config.warmup_steps:
        rise = step / config.warmup_steps
        if config.sched == "onecycle":
            rise = 0.5 * (1.0 - math.cos(math.pi * rise))
        return config.warmup_lr + (config.peak_lr - config.warmup_lr) * rise
    fraction = (step - config.warmup_steps) / (config.steps - config.warmup_steps)
    height = 0.5 * (1.0 + math.cos(math.pi * fraction))
    if config.sched == "poly":
        height = math.pow(1.0 - fraction, config.poly_power)
    return config.min_lr + (config.peak_lr - config.min_lr) * height


def create_optimizer(config: Resolved, model: nn.Module) -> Optimizer:
    """timm's optimizer of that name; biases, norms and embeddings are not decayed.

    Raises:
        UsageError: if timm has none of that name, or it needs a package that is not there.
    """
    known = [str(name) for name in list_optimizers()]
    if config.opt not in known:
        raise UsageError(f"opt: timm has no optimizer '{config.opt}'{nearest(config.opt, known)}")
    settings: dict[str, Any] = {"momentum": config.momentum, "layer_decay": config.layer_decay}
    if isinstance(model, Segmenter):
        settings["param_group_fn"] = partial(_groups, config)
    try:
        optimizer = create_optimizer_v2(
            model, config.opt, lr=config.peak_lr, weight_decay=config.weight_decay, **settings
        )
    except (AssertionError, ImportError, ModuleNotFoundError, TypeError) as error:
        reason = str(error) or "it needs a package that is not installed"
        raise UsageError(f"opt: {config.opt} cannot be used here: {reason}") from None
    if getattr(optimizer, "is_second_order", False):
        raise UsageError(f"opt: {config.opt} cannot be used here: it needs second derivatives")
    return optimizer


def _groups(config: Resolved, model: Segmenter) -> list[dict[str, Any]]:
    """timm's groups of the encoder, layer by layer where the recipe says so, and of the rest."""
    encoder: Any = model.encoder
    exempt: set[str] = getattr(encoder, "no_weight_decay", set)()
    more: dict[str, Any] = {"weight_decay": config.weight_decay, "no_weight_decay_list": exempt}
    groups: list[dict[str, Any]]
    if config.layer_decay is None:
        groups = param_groups_weight_decay(encoder, **more)
    else:
        groups = param_groups_layer_decay(encoder, layer_decay=config.layer_decay, **more)
        for group in groups:
            group["lr_scale"] *= config.layer_decay  # its last layer is one below the head
    for part in model.above_encoder():
        for group in param_groups_weight_decay(part, config.weight_decay):
            groups.append(group | {"lr_scale": config.decoder_lr_scale})
    return groups


def set_learning_rate(optimizer: Optimizer, value: float) -> None:
    """Give all parameter groups the learning rate ``value``, times the scale of their layer."""
    for group in optimizer.param_groups:
        group["lr"] = value * group.get("lr_scale", 1.0)
