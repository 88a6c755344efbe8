"""The optimizer, and the learning rate as a function of the step."""

import math
from typing import Any

from timm.optim._optim_factory import create_optimizer_v2, list_optimizers
from torch import nn
from torch.optim import Optimizer

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.settings import nearest
from fdsl_train.config import Resolved


def learning_rate(config: Resolved, step: int) -> float:
    """Learning rate of step ``step``, 0 <= step < steps.

    From ``warmup_lr`` at step 0 to the peak at step ``warmup_steps``, in a line, or for
    ``onecycle`` by half a cosine; then half a cosine down to ``min_lr`` at step ``steps``, the
    first that is not taken. PyTorch's OneCycleLR also moves the momentum; this does not.
    """
    if step < config.warmup_steps:
        rise = step / config.warmup_steps
        if config.sched == "onecycle":
            rise = 0.5 * (1.0 - math.cos(math.pi * rise))
        return config.warmup_lr + (config.peak_lr - config.warmup_lr) * rise
    fraction = (step - config.warmup_steps) / (config.steps - config.warmup_steps)
    height = 0.5 * (1.0 + math.cos(math.pi * fraction))
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


def set_learning_rate(optimizer: Optimizer, value: float) -> None:
    """Give all parameter groups the learning rate ``value``, times the scale of their layer."""
    for group in optimizer.param_groups:
        group["lr"] = value * group.get("lr_scale", 1.0)
