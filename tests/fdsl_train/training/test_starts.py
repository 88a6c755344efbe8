"""Every start and every kind of data that fine-tuning takes, with the commands users type."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from click.testing import Result
from PIL import Image
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn

from fdsl_train.models.architecture import Architecture, create_model
from fdsl_train.training import checkpoint
from tests.fdsl_train.conftest import FINETUNE, SIDE, run, write_recipe

VIT = {"model": "vit_tiny_patch16_224", "patch_size": 8, "embed_dim": 32, "depth": 2}
VIT |= {"num_heads": 2}
SHORT = FINETUNE | {"epochs": None, "steps": 4, "warmup_epochs": None, "log_every": 2}


def small_vit(num_classes: int = 10) -> nn.Module:
    architecture = Architecture.of({"img_size": 32} | VIT)
    return create_model(architecture, num_classes=num_classes, drop_path=0.0, seed=5)


def authors(path: Path, num_classes: int = 10) -> Path:
    """A checkpoint as authors publish it."""
    weights = small_vit(num_classes).state_dict()
    payload = {
        "epoch": 299,
        "arch": VIT["model"],
        "state_dict": {f"module.{name}": value for name, value in weights.items()},
        "args": argparse.Namespace(lr=1e-3, data_path="/data"),
    }
    torch.save(payload, path)
    return path


def flags_of(settings: dict[str, Any]) -> list[str]:
    return [part for k, v in settings.items() for part in (f"--{k.replace('_', '-')}", str(v))]


SIZES = flags_of({name: value for name, value in VIT.items() if name != "model"} | {"img_size": 32})


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return write_recipe(tmp_path / "short.yaml", **SHORT)


def weights_of(output: Path) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = checkpoint.load(output / "last.pth.tar")["model"]
    return weights


def assert_done(result: Result) -> None:
    assert result.exit_code == 0, (result.output, result.exception)


def test_a_linear_probe_of_the_authors_weights(digits: Path, recipe: Path, tmp_path: Path) -> None:
    path, out = authors(tmp_path / "published.pth", num_classes=3), tmp_path / "out"
    command = ["finetune", "--recipe", recipe, "--checkpoint", path, *SIZES, "--data", digits]
    command += ["--output", out, "--freeze", "backbone", "--drop-path", "0.1"]
    result = run(*command)
    assert_done(result)
    assert f"start {path}, new head for 10 classes, which alone is trained" in result.output
    before, after = small_vit(3).state_dict(), weights_of(out)
    for name, value in after.items():
        if name.startswith("head."):
            assert len(value) == 10
        else:
            assert torch.equal(value, before[name]), name
    args = yaml.safe_load((out / "args.yaml").read_text())
    assert (args["model"], args["depth"], args["img_size"]) == (VIT["model"], 2, 32)
    again = run(*command, "--resume", "auto")
    assert_done(again)
    assert "is finished already: all 4 steps are done" in again.output
    same = authors(tmp_path / "moved.pth", num_classes=3)
    other = tmp_path / "other.pth"
    changed = {name: value + 1 for name, value in small_vit(3).state_dict().items()}
    torch.save({"arch": VIT["model"], "model": changed}, other)
    command[command.index(path)] = same
    assert_done(run(*command, "--resume", "auto"))
    command[command.index(same)] = other
    refused = run(*command, "--resume", "auto")
    assert refused.exit_code == 2
    assert "was started from other weights; choose another --output" in refused.stderr
    measured = run("eval", out, "--data", digits, "--workers", 0)
    assert_done(measured)
    last = next(line for line in result.output.splitlines() if line.startswith("last: "))
    assert last.removeprefix("last: ").split(" (a guess")[0] in measured.output


def test_from_scratch_by_the_same_recipe(digits: Path, recipe: Path, tmp_path: Path) -> None:
    command = ["finetune", "--recipe", recipe, "--from-scratch", "--data", digits]
    command += ["--output", tmp_path / "out"]
    refused = run(*command)
    assert (refused.exit_code, refused.stderr) == (
        2, "fdsl-train: --from-scratch needs --model, a name of timm's\n",
    )  # fmt: skip
    result = run(*command, "--model", VIT["model"], *SIZES)
    assert_done(result)
    assert "from scratch: vit_tiny_patch16_224 with freshly drawn weights" in result.output
    assert (
        json.loads((tmp_path / "out" / "export" / "config.json").read_text())["num_classes"] == 10
    )
    for more, sentence in (
        (("--keep-head",), "--keep-head: --from-scratch has nothing to take it from"),
        (("--checkpoint", "x.pth"), "give one of --checkpoint and --from-scratch"),
    ):
        assert sentence in run(*command, *more).stderr


def test_a_head_is_kept_on_request_only(digits: Path, recipe: Path, tmp_path: Path) -> None:
    command = ["finetune", "--recipe", recipe, "--data", digits, *SIZES, "--keep-head"]
    command += ["--freeze", "backbone", "--lr", "1e-9", "--warmup-lr", "0", "--min-lr", "0"]
    fits = authors(tmp_path / "fits.pth")
    result = run(*command, "--checkpoint", fits, "--output", tmp_path / "out")
    assert_done(result)
    assert f"start {fits}, its own head kept, which alone is trained" in result.output
    before = small_vit().state_dict()["head.weight"]
    assert torch.allclose(weights_of(tmp_path / "out")["head.weight"], before, atol=1e-6)
    other = authors(tmp_path / "other.pth", num_classes=1000)
    refused = run(*command, "--checkpoint", other, "--output", tmp_path / "none")
    assert refused.exit_code == 2
    assert "has 1000 classes, the data has 10; leave it out for a new head" in refused.stderr


def test_another_input_size(digits: Path, recipe: Path, tmp_path: Path) -> None:
    path = authors(tmp_path / "published.pth")
    first = tmp_path / "first"
    command = ["finetune", "--recipe", recipe, "--data", digits]
    assert_done(run(*command, "--checkpoint", path, *SIZES, "--output", first))
    still = ["--lr", "1e-9", "--warmup-lr", "0", "--min-lr", "0", "--output", tmp_path / "second"]
    result = run(*command, "--checkpoint", first, "--img-size", 48, *still)
    assert_done(result)
    assert "positions are interpolated from 32 px to 48 px" in result.output
    assert f"start {first / 'last.pth.tar'}, 32 px to 48 px, new head" in result.output
    before, after = weights_of(first), weights_of(tmp_path / "second")
    before["pos_embed"] = resample_abs_pos_embed(before["pos_embed"], [6, 6], num_prefix_tokens=1)
    for name in before.keys() - {"head.weight", "head.bias"}:
        assert torch.allclose(after[name], before[name], atol=1e-6), name
    assert_done(run("eval", tmp_path / "second" / "export", "--data", digits, "--workers", 0))


def tree(root: Path, classes: str = "ab", count: int = 16) -> Path:
    """Gray, transparent and turned images, a fifth of them to validate on."""
    for label, name in enumerate(classes):
        for i in range(count + count // 4):
            path = root / ("train" if i < count else "val") / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            exif = Image.Exif()
            exif[0x0112] = 1 + i % 8
            mode = ("L", "RGBA", "P", "RGB")[i % 4]
            Image.new("L", (SIDE, 40), 90 * label + i).convert(mode).save(path, exif=exif)
    return root


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_corrupt_image_among_good_ones_is_named(
    recipe: Path, tmp_path: Path, workers: str
) -> None:
    data = tree(tmp_path / "data")
    start = authors(tmp_path / "published.pth")
    command = ["finetune", "--recipe", recipe, "--checkpoint", start, *SIZES, "--data", data]
    command += ["--workers", workers]
    assert_done(run(*command, "--output", tmp_path / "good"))
    bad = data / "train" / "b" / "7.png"
    bad.write_bytes(bad.read_bytes()[:60])
    result = run(*command, "--output", tmp_path / "out")
    assert result.exit_code == 2, (result.output, result.exception)
    assert f"cannot read the image {bad}" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("classes", "count", "sentence"),
    [
        ("a", 16, "has one class only, a; a classifier needs two"),
        ("ab", 7, "has 14 training images, fewer than the 16 of a batch; give a smaller"),
    ],
)
def test_too_little_to_train_on(
    recipe: Path, tmp_path: Path, classes: str, count: int, sentence: str
) -> None:
    data = tree(tmp_path / "data", classes, count)
    start = authors(tmp_path / "published.pth")
    result = run(
        "finetune", "--recipe", recipe, "--checkpoint", start, *SIZES, "--data", data,
        "--output", tmp_path / "out",
    )  # fmt: skip
    assert result.exit_code == 2, (result.output, result.exception)
    assert sentence in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_start_of_another_architecture(digits: Path, recipe: Path, tmp_path: Path) -> None:
    start = authors(tmp_path / "published.pth")
    command = ["finetune", "--recipe", recipe, "--checkpoint", start, "--data", digits]
    result = run(*command, "--model", "resnet10t", "--output", tmp_path / "out")
    assert result.exit_code == 2, (result.output, result.exception)
    assert f"the weights in {start} do not fit resnet10t: bn1.bias is missing" in result.stderr
    result = run(*command, *SIZES, "--depth", 3, "--output", tmp_path / "out")
    assert "do not fit vit_tiny_patch16_224: blocks.2.attn.proj.bias is missing" in result.stderr
    assert not (tmp_path / "out").exists()
