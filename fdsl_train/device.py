"""Where a run computes."""

import torch

from fdsl_gen.errors import UsageError
from fdsl_train.config import Purpose, TrainConfig

_CPU_RECIPES: dict[Purpose, str] = {"pretrain": "cpu_smoke", "finetune": "cpu_finetune"}


def choose_device(config: TrainConfig) -> torch.device:
    """The device of a run.

    Raises:
        UsageError: if the recipe is for a GPU and there is none; a run of weeks on a CPU must be
            asked for.
    """
    if config.device == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    recipe = _CPU_RECIPES[config.purpose]
    raise UsageError(
        f"this recipe is for a GPU and this machine has none; use --recipe {recipe}"
        f" (with make: RECIPE={recipe}), or insist with --device cpu"
    )


def describe(device: torch.device) -> str:
    """A device in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU ({torch.get_num_threads()} threads)"
