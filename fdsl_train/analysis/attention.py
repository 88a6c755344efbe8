"""``fdsl-train attention``: where the class token of a vision transformer looks.

The attention of a block is its softmax of query against key; of it, the row of the class token and
the columns of the patches are shown, head by head (as in Caron et al., "Emerging Properties in
Self-Supervised Vision Transformers", ICCV 2021). Rollout follows it through the blocks: the product
of (A + 1) / 2, with A the mean over heads (Abnar and Zuidema, "Quantifying Attention Flow in
Transformers", ACL 2020).
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fdsl_gen.core.errors import UsageError
from fdsl_train.analysis.figures.heads import draw_heads
from fdsl_train.analysis.figures.save import check_picture
from fdsl_train.analysis.inference import Inference
from fdsl_train.data.sources.image_folder import read_image
from fdsl_train.models.pretrained import PretrainedWeights

logger = logging.getLogger(__name__)

_CLASS = 0  # place of the class token


def draw_attention(
    inference: Inference, images: list[Path], out: Path, *, block: int, rollout: bool
) -> list[Path]:
    """Draw a picture for every image: the image, the mean over heads, and every head.

    Args:
        looking: which model.
        images: files.
        out: a folder for ``NAME.png`` of each image, or the file for a single one.
        block: which block; negative numbers count from the last.
        rollout: instead of heads, follow the attention from the first block to that one.

    Returns:
        The pictures.

    Raises:
        UsageError: if the model has no class token or no such block, or a file cannot be used.
    """
    paths = _places(out, images)
    trained = inference.read()
    model = inference.build(trained, head=False)
    inference.announce(trained)
    number = _block_number(model, trained, block)
    transform = inference.transform(trained)
    for image, path in zip(images, paths, strict=True):
        pixels = transform(read_image(image))
        maps = attention_maps(model, pixels[None].to(inference.torch_device))
        if rollout:
            shown, what = rolled_out(maps[: number + 1]), f"rollout to block {number}"
        else:
            shown, what = maps[number], f"block {number}"
        heads = class_token_maps(model, shown)[0]
        draw_heads(path, _seen(pixels, trained), heads.cpu().numpy(), what)
        logger.info(f"picture {path}")
    return paths


def attention_maps(model: nn.Module, images: Tensor) -> list[Tensor]:
    """The attention in every block, float32 (B, heads, N, N) over N tokens; rows sum to 1.

    Args:
        model: a vision transformer of timm's, evaluating.
        images: float32 (B, 3, H, W), on its device.
    """
    found: list[Tensor] = []
    with torch.inference_mode(), _unfused(model) as layers:
        # The dropout that follows the softmax passes it on unchanged: it is its output.
        hooks = [
            layer.attn_drop.register_forward_hook(lambda _, __, output: found.append(output))
            for layer in layers
        ]
        try:
            model(images)
        finally:
            for hook in hooks:
                hook.remove()
    return found


def rolled_out(maps: list[Tensor]) -> Tensor:
    """Attention followed through blocks, float32 (B, 1, N, N); rows sum to 1.

    Args:
        maps: of the blocks from the first on, each (B, heads, N, N).
    """
    total = torch.eye(maps[0].shape[-1], device=maps[0].device)
    for attention in maps:
        mean = attention.mean(dim=1, keepdim=True)
        total = (mean + torch.eye(mean.shape[-1], device=mean.device)) / 2 @ total
    return total


def class_token_maps(model: nn.Module, attention: Tensor) -> Tensor:
    """The class token's attention to the patches, float32 (B, heads, rows, columns).

    Args:
        model: that the attention is of; tells where the patches begin, after the class token, a
            distillation token and registers.
        attention: float32 (B, heads, N, N).
    """
    vit: Any = model
    rows, columns = vit.patch_embed.grid_size
    patches = attention[:, :, _CLASS, vit.num_prefix_tokens :]
    return patches.reshape(*patches.shape[:2], rows, columns)


@contextmanager
def _unfused(model: nn.Module) -> Iterator[list[Any]]:
    """The attention layers of the blocks, computing their softmax in the open."""
    vit: Any = model
    layers = [block.attn for block in vit.blocks]
    fused = [layer.fused_attn for layer in layers]
    for layer in layers:
        layer.fused_attn = False
    try:
        yield layers
    finally:
        for layer, value in zip(layers, fused, strict=True):
            layer.fused_attn = value


def _block_number(model: nn.Module, trained: PretrainedWeights, block: int) -> int:
    """The block's number from 0 on, of a model that has what is needed."""
    name = trained.architecture.model
    if getattr(model, "cls_token", None) is None or not hasattr(model, "blocks"):
        raise UsageError(
            f"{name} has no class token; attention is drawn of vision transformers that have one,"
            " such as vit_tiny_patch16_224"
        )
    vit: Any = model
    layers = [getattr(one, "attn", None) for one in vit.blocks]
    if not all(hasattr(layer, "fused_attn") and hasattr(layer, "attn_drop") for layer in layers):
        raise UsageError(f"the attention of {name} is of a kind that cannot be looked into")
    count = len(layers)
    if not -count <= block < count:
        raise UsageError(f"--block: {name} has the blocks 0 to {count - 1}, or -{count} to -1")
    return block % count


def _seen(pixels: Tensor, trained: PretrainedWeights) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The image as the model sees it, uint8 (H, W, 3)."""
    mean = torch.tensor(trained.inputs.mean)[:, None, None]
    std = torch.tensor(trained.inputs.std)[:, None, None]
    levels = (pixels * std + mean).clamp(0, 1) * 255.0
    return levels.round().to(torch.uint8).permute(1, 2, 0).numpy()


def _places(out: Path, images: list[Path]) -> list[Path]:
    """A file for each image."""
    if out.suffix and not out.is_dir():
        check_picture(out)
        if len(images) > 1:
            raise UsageError(f"--out: {out} is one file for {len(images)} images; give a folder")
        return [out]
    paths = [out / f"{image.stem}.png" for image in images]
    if len(set(paths)) < len(paths):
        raise UsageError("two of the images have the same name; draw them into two folders")
    check_picture(paths[0])
    return paths
