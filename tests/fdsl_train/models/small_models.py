"""Small models of every family, and ways to compare their weights."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fdsl_train.models.architecture import Architecture, create_model

VIT = {"patch_size": 16, "embed_dim": 24, "depth": 1, "num_heads": 2}
MODELS: dict[str, dict[str, Any]] = {
    "vit_tiny_patch16_224": VIT,
    "deit_tiny_distilled_patch16_224": VIT,
    "swin_tiny_patch4_window7_224": {"embed_dim": 12},
    "resnet10t": {},
}
HEADS = {
    "vit_tiny_patch16_224": ["head"],
    "deit_tiny_distilled_patch16_224": ["head", "head_dist"],
    "swin_tiny_patch4_window7_224": ["head.fc"],
    "resnet10t": ["fc"],
}


def built(name: str, *, num_classes: int = 5, img_size: int = 64, seed: int = 0) -> nn.Module:
    """A small model with weights of its own, heads that are not zero, and used batch norms."""
    settings = {"model": name, "img_size": img_size} | MODELS[name]
    architecture = Architecture.of(settings)
    model = create_model(architecture, num_classes=num_classes, drop_path=0.2, seed=seed)
    with torch.no_grad():
        for buffer in model.buffers():
            if buffer.is_floating_point() and buffer.ndim == 1:
                buffer.uniform_(0.5, 1.5)
    return model


def asked(name: str, **more: Any) -> dict[str, Any]:
    return {"model": name} | MODELS[name] | more


def written(path: Path, payload: Any) -> Path:
    torch.save(payload, path)
    return path


def same_but(model: nn.Module, weights: dict[str, Tensor], heads: list[str]) -> None:
    """All weights are the given ones, and those of the heads are not."""
    for name, value in model.state_dict().items():
        kept = not name.startswith(tuple(f"{head}." for head in heads))
        same = value.shape == weights[name].shape and torch.equal(value, weights[name])
        assert same == kept or name.endswith("bias"), name
