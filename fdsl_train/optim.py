"""The optimizer, and the learning rate as a function of the step."""

import math
from typing import Any

from timm.optim._optim_factory import create_optimizer_v2
from torch import nn
from torch.optim import Optimizer

from fdsl_train.config import Resolved


def learning_rate(config: Resolved, step: int) -> float:
    """Learning rate of step ``step``, 0 <= step < steps.

    Linear from ``warmup_lr`` at step 0 to the peak at step ``warmup_steps``, then half a cosine
    down to ``min_lr`` at step ``steps``, the first that is not taken.
    """
    if step < config.warmup_steps:
        rise = step / config.warmup_steps
        return config.warmup_lr + (config.peak_lr - config.warmup_lr) * rise
    fraction = (step - config.warmup_steps) / (config.steps - config.warmup_steps)
    height = 0.5 * (1.0 + math.cos(math.pi * fraction))
    return config.min_lr + (config.peak_lr - config.min_lr) * height


def create_optimizer(config: Resolved, model: nn.Module) -> Optimizer:
    """timm's optimizer of that name; biases, norms and embeddings are not decayed."""
    settings: dict[str, Any] = {"momentum": config.momentum} if config.opt == "sgd" else {}
    return create_optimizer_v2(
        model, opt=config.opt, lr=config.peak_lr, weight_decay=config.weight_decay, **settings
    )


def set_learning_rate(optimizer: Optimizer, value: float) -> None:
    """Give all parameter groups the learning rate ``value``."""
    for group in optimizer.param_groups:
        group["lr"] = value
