"""Attention against attention computed by hand, curves from logs, and the pictures of both."""

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import Tensor, nn

from fdsl_train.analysis.attention import attention_maps, class_token_maps, rolled_out
from fdsl_train.analysis.figures.curves import smoothed
from fdsl_train.analysis.plot import read_run
from tests.fdsl_train.conftest import run

SMALL = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3}


def transformer(name: str, **more: Any) -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = timm.create_model(name, num_classes=4, **SMALL, **more).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))  # so that attention is not even
    return model


def by_hand(model: Any, images: Tensor) -> list[Tensor]:
    """softmax(q k / sqrt(d)) of every head, from the output of the layer that gives q, k and v."""
    outputs: list[Tensor] = []
    hooks = [
        block.attn.qkv.register_forward_hook(lambda _, __, output: outputs.append(output))
        for block in model.blocks
    ]
    with torch.no_grad():
        model(images)
    for hook in hooks:
        hook.remove()
    maps = []
    for block, output in zip(model.blocks, outputs, strict=True):
        heads = []
        for head in range(3):
            q = block.attn.q_norm(output[:, :, 8 * head : 8 * head + 8])
            k = block.attn.k_norm(output[:, :, 24 + 8 * head : 24 + 8 * head + 8])
            scores = torch.einsum("bid,bjd->bij", q, k) / math.sqrt(8)
            heads.append(scores.exp() / scores.exp().sum(dim=-1, keepdim=True))
        maps.append(torch.stack(heads, dim=1).detach())
    return maps


KINDS = {
    "plain": ("vit_tiny_patch16_224", {}, 1),
    "normalized queries and keys": ("vit_tiny_patch16_224", {"qk_norm": True}, 1),
    "registers": ("vit_small_patch14_reg4_dinov2", {}, 5),
    "distilled": ("deit_tiny_distilled_patch16_224", {}, 2),
}


@pytest.mark.parametrize("kind", KINDS)
def test_attention_is_what_the_definition_says(kind: str) -> None:
    name, more, before = KINDS[kind]
    model = transformer(name, **more)
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        answer = model(images)
    maps = attention_maps(model, images)
    assert [tuple(each.shape) for each in maps] == [(2, 3, 16 + before, 16 + before)] * 2
    for found, expected in zip(maps, by_hand(model, images), strict=True):
        assert torch.allclose(found, expected, atol=1e-6)
        assert float(expected.std()) > 0.01
    shown = class_token_maps(model, maps[1])
    assert shown.shape == (2, 3, 4, 4)
    # Patch (row 1, column 2) is token 4 + 2 after the tokens without a place.
    assert torch.equal(shown[:, :, 1, 2], maps[1][:, :, 0, before + 6])
    with torch.no_grad():
        assert torch.equal(model(images), answer)
    assert all(block.attn.fused_attn for block in model.blocks)  # type: ignore[union-attr]


def test_rollout_follows_attention_through_the_blocks() -> None:
    model = transformer("vit_tiny_patch16_224")
    maps = attention_maps(model, torch.rand(1, 3, 32, 32))
    first, second = (each[0].mean(dim=0) for each in maps)
    one = torch.eye(17)
    expected = 0.25 * (second + one) @ (first + one)
    rolled = rolled_out(maps)
    assert rolled.shape == (1, 1, 17, 17)
    assert torch.allclose(rolled[0, 0], expected, atol=1e-6)
    assert torch.allclose(rolled.sum(dim=-1), torch.ones(1, 1, 17), atol=1e-5)
    assert torch.allclose(rolled_out(maps[:1])[0, 0], 0.5 * (first + one), atol=1e-6)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vision transformer in a folder as timm exports it."""
    folder = tmp_path_factory.mktemp("vit")
    timm.models.save_for_hf(
        transformer("vit_tiny_patch16_224"),
        str(folder),
        safe_serialization=True,
        data_config={"input_size": (3, 32, 32)},
    )
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """A gray image and a colored one, not square."""
    drawn = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    paths = [tmp_path / "gray.png", tmp_path / "color.jpg"]
    Image.fromarray(drawn[:, :, 0]).save(paths[0])
    Image.fromarray(drawn).save(paths[1])
    return paths


def size_of(picture: Path) -> tuple[int, int]:
    with Image.open(picture) as opened:
        return opened.size


def test_a_picture_for_each_image(weights: Path, photos: list[Path], tmp_path: Path) -> None:
    result = run("attention", weights, *photos, "--out", tmp_path / "seen")
    assert result.exit_code == 0, (result.output, result.exception)
    names = sorted(path.name for path in (tmp_path / "seen").iterdir())
    assert names == ["color.png", "gray.png"]
    width, height = size_of(tmp_path / "seen" / "color.png")
    assert width > 3 * height  # the image, the mean and three heads in a row
    result = run("attention", weights, photos[0], "--rollout", "--out", tmp_path / "one.png")
    assert result.exit_code == 0, (result.output, result.exception)
    assert size_of(tmp_path / "one.png")[0] < width / 2  # the image and the rollout


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--block", "2"), "--block: vit_tiny_patch16_224 has the blocks 0 to 1, or -2 to -1"),
        (("--out", "one.png"), "one.png is one file for 2 images; give a folder"),
        (("--out", "one.gif"), "one.gif must end in .png, .pdf or .svg"),
    ],
)
def test_attention_that_cannot_be_drawn(
    weights: Path, photos: list[Path], flags: tuple[str, ...], sentence: str
) -> None:
    result = run("attention", weights, *photos, *flags)
    assert result.exit_code == 2, (result.output, result.exception)
    assert sentence in result.stderr


@pytest.mark.parametrize(
    ("name", "size", "sentence"),
    [
        ("resnet10t", {}, "resnet10t has no class token; attention is drawn of vision"),
        ("swin_tiny_patch4_window7_224", {"embed_dim": 12}, "has no class token"),
        ("vit_small_patch16_18x2_224", {"embed_dim": 24, "depth": 1, "num_heads": 2}, "of a kind"),
    ],
)
def test_models_without_such_attention(
    name: str, size: dict[str, int], sentence: str, photos: list[Path], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=2, **size)
    folder = tmp_path / "export"
    timm.models.save_for_hf(model, str(folder), safe_serialization=True)
    result = run("attention", folder, photos[0])
    assert result.exit_code == 2, (result.output, result.exception)
    assert sentence in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def write_run(folder: Path, *, steps: int = 100, validated: bool = True) -> Path:
    """The logs of a run whose loss falls from 8 to 1, with a line cut short at the end."""
    folder.mkdir()
    lines = [
        {"step": step, "epoch": step / 10, "lr": 1e-3 * (1 - step / steps),
         "loss": 8.0 ** (1 - step / steps), "top1": step / steps}
        for step in range(1, steps + 1)
    ]  # fmt: skip
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text + '{"step": 101, "lo')
    rows = [f"{step},{step / 200:.3f},{40 + step / 10}" for step in (50, 100)]
    head = "step,loss,val_top1" if validated else "step,loss,other"
    (folder / "summary.csv").write_text("\n".join([head, *rows]) + "\n")
    return folder


def test_what_is_read_of_a_run(tmp_path: Path) -> None:
    curves = read_run(write_run(tmp_path / "a"), "a")
    assert curves.steps.tolist() == list(range(1, 101))
    assert curves.loss[-1] == 1.0
    assert curves.top1 is not None
    assert curves.top1[49] == 50.0  # percent
    assert (curves.measured.tolist(), curves.accuracy.tolist()) == ([50, 100], [45, 50])
    assert len(read_run(write_run(tmp_path / "b", validated=False), "b").accuracy) == 0


@pytest.mark.parametrize(("count", "half"), [(60, 0), (61, 1), (400, 10)])
def test_the_running_mean(count: int, half: int) -> None:
    values = np.random.default_rng(0).random(count)
    expected = [values[max(i - half, 0) : i + half + 1].mean() for i in range(count)]
    assert np.allclose(smoothed(values), expected)


def test_runs_in_one_picture(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / "a"), write_run(tmp_path / "b", steps=40, validated=False)]
    result = run("plot", runs[0])
    assert result.exit_code == 0, (result.output, result.exception)
    width, height = size_of(runs[0] / "plot.png")
    assert width > 2 * height  # three panels in a row
    result = run("plot", *runs, "--out", tmp_path / "both.svg")
    assert result.exit_code == 0, (result.output, result.exception)
    drawn = (tmp_path / "both.svg").read_text()
    assert drawn.lstrip().startswith("<?xml")
    assert "#0072b2" in drawn  # the colors of the first run ...
    assert "#e69f00" in drawn  # ... and of the second


def test_pre_training_and_fine_tuning_have_axes_of_their_own(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name) for name in ("a", "b", "c")]
    for folder, purpose in zip(runs, ("pretrain", "finetune", "finetune"), strict=True):
        (folder / "args.yaml").write_text(f"purpose: {purpose}\n")
    assert [read_run(folder, "x").kind for folder in runs[:2]] == ["pre-training", "fine-tuning"]
    for name, asked in (("one.png", runs[1:]), ("two.png", runs)):
        result = run("plot", *asked, "--out", tmp_path / name)
        assert result.exit_code == 0, (result.output, result.exception)
    assert size_of(tmp_path / "two.png")[1] > 1.5 * size_of(tmp_path / "one.png")[1]


def test_folders_that_are_no_runs(tmp_path: Path) -> None:
    result = run("plot", tmp_path)
    assert result.exit_code == 2
    assert "is not a run of fdsl-train: it has no metrics.jsonl" in result.stderr
    (tmp_path / "metrics.jsonl").write_text('{"step": 1')
    result = run("plot", tmp_path)
    assert result.exit_code == 2
    assert "has not logged anything yet" in result.stderr


def test_without_matplotlib_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)  # importing it fails
    result = run("plot", write_run(tmp_path / "a"))
    assert result.exit_code == 2
    assert 'a picture needs matplotlib, which is not installed: pip install "fdsl[plot]"' in (
        result.stderr
    )
