"""Swin transformers as mmsegmentation and mmdetection keep them, by timm's names.

There a stage ends with the layer that halves the size, where timm's begins with it, and that layer
takes its inputs channel by channel instead of place by place. Every stage has a norm for a decoder;
timm has that of the last one only. The older files of Swin's authors for segmentation have the
norms and else their own names, which timm knows.
"""

import re

import torch
from torch import Tensor

_NORM = re.compile(r"norm(\d+)\.(weight|bias)")
_STAGE = re.compile(r"stages\.(\d+)\.(.+)")
_PARTS = (
    ("patch_embed.projection.", "patch_embed.proj."),
    (".attn.w_msa.", ".attn."),
    (".ffn.layers.0.0.", ".mlp.fc1."),
    (".ffn.layers.1.", ".mlp.fc2."),
)
_PLACES = [0, 2, 1, 3]  # of four neighbors: by rows there, by columns in timm


def with_timm_names(weights: dict[str, Tensor], own: set[str]) -> tuple[dict[str, Tensor], int]:
    """The weights of a Swin transformer by timm's names; others as they are.

    Args:
        weights: of a backbone.
        own: names of the weights of the model wanted.

    Returns:
        The weights, and how many were left out: norms that timm's model has not.
    """
    norms = {int(match[1]) for name in weights if (match := _NORM.fullmatch(name))}
    if not norms or "norm.weight" in weights or "norm.weight" not in own:
        return weights, 0
    named, left_out = {}, 0
    for name, value in weights.items():
        if match := _NORM.fullmatch(name):
            if int(match[1]) < max(norms):
                left_out += 1
                continue
            name = f"norm.{match[2]}"
        elif match := _STAGE.fullmatch(name):
            stage, rest = int(match[1]), match[2]
            if rest.startswith("downsample."):
                stage, value = stage + 1, _by_places(value)
            name = f"layers.{stage}.{rest}"
        for theirs, ours in _PARTS:
            name = name.replace(theirs, ours)
        named[name] = value
    return named, left_out


def _by_places(value: Tensor) -> Tensor:
    """The last axis, C channels of four places each -> four places of C channels each."""
    apart = value.reshape(*value.shape[:-1], -1, 4).transpose(-1, -2)
    return torch.index_select(apart, -2, torch.tensor(_PLACES)).flatten(-2)
