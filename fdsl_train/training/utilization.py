"""Model FLOPs utilization: what a run computes of what its GPUs could.

Counted are the multiplications and additions of matrix products and convolutions that a step needs,
forward and backward; what ``grad_checkpointing`` computes twice counts once. The peak is the
maker's for dense matrices of that precision.
"""

import re

import torch
from torch import nn

from fdsl_train.config import Resolved
from fdsl_train.distributed.group import Group
from fdsl_train.models.architecture import architecture_of, freeze_backbone, outline

# 1e12 FLOP a second by words of the card's name, the first that fit: of float16 and bfloat16 with
# sums in float32, and of float32 without tensor cores. From the makers' data sheets.
PEAKS: tuple[tuple[str, float, float], ...] = (
    (r"B200", 2250, 75),
    (r"H200|H100 80GB HBM3|H100 SXM", 989, 67),
    (r"H100 PCIe", 756, 51),
    (r"A100", 312, 19.5),
    (r"A40", 149.7, 37.4),
    (r"A30", 165, 10.3),
    (r"A10", 125, 31.2),
    (r"L40S", 362, 91.6),
    (r"L4", 121, 30.3),
    (r"V100", 125, 15.7),
    (r"T4", 65, 8.1),
    (r"RTX 4090", 165.2, 82.6),
    (r"RTX 3090", 71, 35.6),
)


def peak_flops(card: str, *, half: bool) -> float | None:
    """FLOP a second of a card by its name, in half or single precision; None if it is not known."""
    for words, mixed, single in PEAKS:
        if re.search(rf"(?<![\w]){words}(?![\w])", card.replace("-", " ")):
            return (mixed if half else single) * 1e12
    return None


def flops_of_a_step(model: nn.Module, img_size: int) -> int:
    """FLOP of forward and backward for one image.

    Args:
        model: one without memory (:func:`fdsl_train.models.architecture.outline`).
        img_size: side of its input, pixels.
    """
    from torch.utils.flop_counter import FlopCounterMode  # takes two seconds

    with FlopCounterMode(display=False) as counter:
        found = model.eval()(torch.zeros(1, 3, img_size, img_size, device="meta"))
        found.sum().backward()
    return int(counter.get_total_flops())


def peak_rate(config: Resolved, num_classes: int, group: Group) -> float | None:
    """Images a second at which all GPUs of a run would be used fully; None if that is not known."""
    if group.device.type != "cuda":
        return None
    peak = peak_flops(torch.cuda.get_device_name(group.device), half=config.amp)
    if peak is None:
        return None
    model = outline(architecture_of(config), num_classes=num_classes)
    if config.freeze == "backbone":
        freeze_backbone(model)
    return peak * group.world_size / flops_of_a_step(model, config.img_size)
