"""Weights at every input size and with every head; models of which only the head trains."""

import copy
import dataclasses
import json
from pathlib import Path

import pytest
import timm
import torch
from timm.layers import resample_abs_pos_embed
from torch import nn

from fdsl_gen.core.errors import UsageError
from fdsl_train.config import TrainConfig
from fdsl_train.models.adapt import build_from_pretrained
from fdsl_train.models.architecture import (
    classifier_layers,
    freeze_backbone,
    set_training_mode,
)
from fdsl_train.models.export import export
from fdsl_train.models.pretrained import read_pretrained
from tests.fdsl_train.models.small_models import HEADS, MODELS, asked, built, same_but, written


@pytest.mark.parametrize("name", MODELS)
def test_a_new_head_is_the_only_new_thing(tmp_path: Path, name: str) -> None:
    weights = built(name).state_dict()
    trained = read_pretrained(written(tmp_path / "x.pth", weights), asked(name, img_size=64))
    assert trained.num_classes == 5
    for classes in (5, 3):  # a head whose shape happens to fit is new all the same
        model = build_from_pretrained(trained, num_classes=classes, seed=1)
        same_but(model, weights, HEADS[name])
        assert model(torch.zeros(1, 3, 64, 64)).shape == (1, classes)
    same_but(build_from_pretrained(trained), weights, [])


@pytest.mark.parametrize("side", [96, 384])
@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224"])
def test_position_embeddings_follow_the_input_size(tmp_path: Path, name: str, side: int) -> None:
    weights = built(name, img_size=224).state_dict()
    trained = read_pretrained(written(tmp_path / "x.pth", weights), asked(name))
    assert trained.architecture.img_size == 224
    model = build_from_pretrained(trained, num_classes=3, img_size=side)
    prefix = len(HEADS[name])  # a class token, and a distillation token with the second head
    grid = side // 16
    expected = resample_abs_pos_embed(weights["pos_embed"], [grid, grid], num_prefix_tokens=prefix)
    assert torch.equal(model.state_dict()["pos_embed"], expected)
    assert torch.equal(expected[:, :prefix], weights["pos_embed"][:, :prefix])
    assert model(torch.zeros(1, 3, side, side)).shape == (1, 3)


def test_tables_of_relative_positions_follow_the_input_size(tmp_path: Path) -> None:
    name = "swin_tiny_patch4_window7_224"
    weights = built(name, img_size=224).state_dict()
    trained = read_pretrained(written(tmp_path / "x.pth", weights), asked(name))
    model = build_from_pretrained(trained, num_classes=3, img_size=96)
    table = "layers.{}.blocks.0.attn.relative_position_bias_table"
    sizes = [len(model.state_dict()[table.format(layer)]) for layer in range(4)]
    # At 96 px the last two stages are 6 and 3 patches wide, narrower than the window of 7.
    assert sizes == [13**2, 13**2, 11**2, 5**2]
    first, third = table.format(0), table.format(2)
    assert torch.equal(model.state_dict()[first], weights[first])
    # The bias of a patch with itself stands in the middle, and stays.
    middle, before = model.state_dict()[third][11**2 // 2], weights[third][13**2 // 2]
    assert torch.allclose(middle, before, atol=1e-6)
    assert float(before.abs().sum()) > 0
    assert model(torch.zeros(1, 3, 96, 96)).shape == (1, 3)


@pytest.mark.parametrize("side", [32, 96])
def test_a_convolutional_network_takes_any_size(tmp_path: Path, side: int) -> None:
    weights = built("resnet10t").state_dict()
    trained = read_pretrained(
        written(tmp_path / "x.pth", weights), asked("resnet10t", img_size=side)
    )
    model = build_from_pretrained(trained, num_classes=3)
    assert model(torch.zeros(2, 3, side, side)).shape == (2, 3)


@pytest.mark.parametrize("name", MODELS)
def test_an_export_comes_back_as_it_was(tmp_path: Path, name: str) -> None:
    model = built(name, img_size=96).eval()
    config = TrainConfig(
        purpose="finetune", img_size=96, steps=1, global_batch_size=2, lr=1.0,
        mean=(0.1, 0.2, 0.3), crop_pct=0.9, **asked(name),
    ).resolve(num_samples=2)  # fmt: skip
    folder = export(tmp_path, model, config, tuple("abcde"))
    images = torch.rand(2, 3, 96, 96)
    by_timm = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    trained = read_pretrained(folder)
    by_us = build_from_pretrained(trained).eval()
    with torch.no_grad():
        assert torch.equal(by_timm(images), model(images))
        assert torch.equal(by_us(images), model(images))
    assert trained.class_names == tuple("abcde")
    assert (trained.architecture.img_size, trained.num_classes) == (96, 5)
    assert (trained.inputs.mean, trained.inputs.crop_pct) == ((0.1, 0.2, 0.3), 0.9)
    said = json.loads((folder / "config.json").read_text())["pretrained_cfg"]
    # timm knows a paper and an address of its own weights of this model, not of these.
    assert not any(said.get(key) for key in ("license", "origin_url", "paper_ids", "paper_name"))


def test_an_export_of_others_with_unknown_settings(tmp_path: Path) -> None:
    model = timm.create_model(
        "vit_tiny_patch16_224", img_size=64, embed_dim=24, depth=1, num_heads=2, qk_norm=True
    )
    timm.models.save_for_hf(model, str(tmp_path), safe_serialization=True)
    with pytest.raises(UsageError, match="built with qk_norm=True, which fdsl-train has no"):
        read_pretrained(tmp_path)


@pytest.mark.parametrize("name", MODELS)
def test_a_linear_probe_changes_the_head_alone(name: str) -> None:
    model = built(name)
    freeze_backbone(model)
    before = copy.deepcopy(model.state_dict())
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=1.0, weight_decay=0.1)
    for _ in range(2):
        set_training_mode(model, frozen=True)
        loss = nn.functional.cross_entropy(model(torch.rand(4, 3, 64, 64)), torch.arange(4))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = model.state_dict()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed == {f"{head}.{part}" for head in HEADS[name] for part in ("weight", "bias")}
    assert len(classifier_layers(model)) == len(HEADS[name])


@pytest.mark.parametrize("name", MODELS)
def test_without_freezing_everything_trains(name: str) -> None:
    model = built(name)
    set_training_mode(model, frozen=False)
    assert all(module.training for module in model.modules())
    set_training_mode(model, frozen=True)
    training = {key for key, module in model.named_modules() if module.training}
    assert training == set(HEADS[name])


def test_the_new_head_depends_on_the_seed_alone(tmp_path: Path) -> None:
    trained = read_pretrained(
        written(tmp_path / "x.pth", built("resnet10t").state_dict()), asked("resnet10t")
    )
    torch.manual_seed(3)
    first = build_from_pretrained(trained, num_classes=3, seed=7).state_dict()["fc.weight"]
    torch.manual_seed(4)
    again = build_from_pretrained(
        dataclasses.replace(trained, name="another"), num_classes=3, seed=7
    ).state_dict()["fc.weight"]
    other = build_from_pretrained(trained, num_classes=3, seed=8).state_dict()["fc.weight"]
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
