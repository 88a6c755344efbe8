"""Where a run computes."""

import torch

from fdsl_gen.core.errors import UsageError
from fdsl_train.config import Purpose, TrainConfig

_CPU_RECIPES: dict[Purpose, str] = {"pretrain": "cpu-smoke", "finetune": "cpu-finetune"}


def choose_device(config: TrainConfig, local_rank: int = 0) -> torch.device:
    """The device of a process.

    Args:
        config: the recipe.
        local_rank: which of the processes on this machine asks.

    Raises:
        UsageError: if the recipe is for a GPU and there is none; a run of weeks on a CPU must be
            asked for. Or if there are more processes than GPUs.
    """
    if config.device == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        # SLURM may show each process its own GPU only, which then has number 0.
        number = local_rank if count > 1 else 0
        if number >= count:
            raise UsageError(f"process {local_rank} of this machine has no GPU; it has {count}")
        device = torch.device("cuda", number)
        torch.cuda.set_device(device)
        return device
    recipe = _CPU_RECIPES[config.purpose]
    raise UsageError(
        f"this recipe is for a GPU and this machine has none; use --recipe {recipe}"
        f" (with make: RECIPE={recipe}), or insist with --device cpu"
    )


def has_gpu() -> bool:
    """Whether this machine has a GPU that PyTorch can use."""
    return torch.cuda.is_available()


def describe(device: torch.device) -> str:
    """A device in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU ({torch.get_num_threads()} threads)"
