"""Files of others: every layout of weights, and what must not be loaded."""

import argparse
import dataclasses
import itertools
import os
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from fdsl_gen.core.errors import UsageError
from fdsl_train.models.adapt import build_from_pretrained, resize_note
from fdsl_train.models.pretrained import read_pretrained
from fdsl_train.models.third_party import weights_in
from tests.fdsl_train.models.small_models import MODELS, asked, built, same_but, written


def layouts() -> dict[str, Any]:
    """The ways in which authors and tools keep the weights of a model."""
    return {
        "bare": lambda weights: weights,
        "model": lambda weights: {"model": weights, "epoch": 3},
        "state_dict": lambda weights: {"state_dict": weights, "metric": 81.5},
        "parallel": lambda weights: {"model": {f"module.{k}": v for k, v in weights.items()}},
        "compiled": lambda weights: {
            "state_dict": {f"module._orig_mod.{k}": v for k, v in weights.items()}
        },
        "arguments": lambda weights: {
            "model": weights,
            "args": argparse.Namespace(lr=1e-3, model="a", betas=(0.9, 0.999)),
        },
        "headless": lambda weights: {k: v for k, v in weights.items() if not k.startswith("head")},
    }


VIT = "vit_tiny_patch16_224"


def prefixed(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in weights.items()}


def without_head(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in weights.items() if not key.startswith("head")}


def other_parts(prefix: str, width: int = 7) -> dict[str, Tensor]:
    """Weights that are not the model's, of a projection or prediction network."""
    shapes = {"0.weight": (width, 24), "1.running_mean": (width,), "3.weight": (5, width)}
    return {prefix + key: torch.ones(shape) for key, shape in shapes.items()}


def of_methods() -> dict[str, Any]:
    """Checkpoints of training methods: payload, and what of it is no part of the model."""

    def dino(weights: dict[str, Tensor]) -> Any:
        teacher = prefixed(without_head(weights), "backbone.") | other_parts("head.mlp.")
        student = {f"module.{k}": torch.full_like(v, 9.0) for k, v in teacher.items()}
        return {"student": student, "teacher": teacher, "epoch": 99, "args": None}

    def moco(weights: dict[str, Tensor]) -> Any:
        base = without_head(weights) | other_parts("head.")
        return {
            "arch": "vit_small",
            "state_dict": prefixed(base, "module.base_encoder.")
            | prefixed({k: v + 1 for k, v in base.items()}, "module.momentum_encoder.")
            | other_parts("module.predictor."),
            "optimizer": {"state": {}},
        }

    def mae(weights: dict[str, Tensor]) -> Any:
        decoder = {"mask_token": torch.ones(1, 1, 8), "decoder_pos_embed": torch.ones(1, 17, 8)}
        decoder |= prefixed(weights, "decoder_blocks.0.")
        return {"model": without_head(weights) | decoder, "args": argparse.Namespace(lr=1.0)}

    def simmim(weights: dict[str, Tensor]) -> Any:
        inside = prefixed(without_head(weights) | {"mask_token": torch.ones(1, 1, 24)}, "encoder.")
        return {"model": inside | {"decoder.0.weight": torch.ones(3, 3)}}

    return {
        "DINO": (dino, "head (3)"),
        "MoCo v3": (moco, "head (3), momentum (", "predictor (3)"),
        "MAE": (mae, "decoder (", "mask (1)"),
        "SimMIM": (simmim, "decoder (1), mask (1)"),
    }


@pytest.mark.parametrize("method", of_methods())
def test_what_belongs_to_a_method_is_left_out_and_said(tmp_path: Path, method: str) -> None:
    make, *parts = of_methods()[method]
    weights = built(VIT).state_dict()
    trained = read_pretrained(written(tmp_path / "x.pth", make(weights)), asked(VIT))
    assert trained.num_classes is None
    same_but(build_from_pretrained(trained, num_classes=3), weights, ["head"])
    said = " ".join(trained.notes)
    assert all(part in said for part in parts), said
    assert ("the weights are the teacher's" in said) == (method == "DINO")


@pytest.mark.parametrize(
    "prefix",
    [
        *("backbone.", "model.", "encoder.", "base_encoder.", "teacher.", "student.", "module."),
        *("module.backbone.", "model.encoder.", "_orig_mod.module.model.", "teacher.backbone."),
    ],
)
@pytest.mark.parametrize("place", ["", "state_dict"])
def test_prefixes_of_others(tmp_path: Path, prefix: str, place: str) -> None:
    weights = built(VIT).state_dict()
    inside = prefixed(weights, prefix)
    path = written(tmp_path / "x.pth", {place: inside} if place else inside)
    trained = read_pretrained(path, asked(VIT))
    assert (trained.num_classes, trained.notes) == (5, ())
    same_but(build_from_pretrained(trained), weights, [])


def test_a_classifier_beside_a_backbone_is_kept(tmp_path: Path) -> None:
    weights = built(VIT).state_dict()
    head = {key: value for key, value in weights.items() if key.startswith("head")}
    path = written(tmp_path / "x.pth", prefixed(without_head(weights), "backbone.") | head)
    same_but(build_from_pretrained(read_pretrained(path, asked(VIT))), weights, [])


def test_a_model_that_has_such_names_itself_keeps_them(tmp_path: Path) -> None:
    own = {"encoder.a.weight": torch.ones(2), "head.weight": torch.ones(1)}
    found = weights_in(
        {"module." + key: value for key, value in own.items()},
        "x",
        own=set(own),
        classifiers=("head",),
        averaged=False,
    )
    assert found.weights == own


def test_plain_values_of_training_scripts_are_read(tmp_path: Path) -> None:
    weights = built(VIT).state_dict()
    arguments = argparse.Namespace(output_dir=Path("/data/out"), lr=np.float64(1e-3))
    more = {
        "args": arguments,
        "best": np.float32(81.5),
        "flag": np.bool_(True),
        "epoch": np.int64(3),
        "metric": np.array([1.0, 2.0]),
        "rng": np.random.RandomState(0).get_state(),
        "path": PureWindowsPath("C:/out"),
    }
    trained = read_pretrained(written(tmp_path / "x.pth", {"model": weights} | more), asked(VIT))
    same_but(build_from_pretrained(trained), weights, [])
    renamed = (tmp_path / "x.pth").read_bytes().replace(b"numpy._core", b"numpy._cora")
    (tmp_path / "y.pth").write_bytes(renamed)
    with pytest.raises(UsageError, match=r"needs numpy\._cora\.multiarray"):
        read_pretrained(tmp_path / "y.pth", asked(VIT))


def test_the_old_format_of_files_is_read(tmp_path: Path) -> None:
    weights = built(VIT).state_dict()
    torch.save({"model": weights}, tmp_path / "x.pth", _use_new_zipfile_serialization=False)
    same_but(build_from_pretrained(read_pretrained(tmp_path / "x.pth", asked(VIT))), weights, [])


@pytest.mark.parametrize(
    ("theirs", "ours", "sentence"),
    [
        (
            "deit_tiny_distilled_patch16_224",
            VIT,
            "have a distillation token, which the model lacks",
        ),
        (VIT, "deit_tiny_distilled_patch16_224", "lack a distillation token, which the model has"),
        ("vit_tiny_r4", VIT, r"have register tokens \(4\), which the model lacks.*'reg'"),
        (VIT, "vit_small_patch16_dinov3", r"lack register tokens \(4\), which the model has"),
        ("no class token", VIT, "lack a class token, which the model has"),
        (VIT, "vit_base_patch16_siglip_224", "have a class token, which the model lacks"),
        (
            "averaging",
            VIT,
            r"average over the patches \(fc_norm\) before the head, where the model",
        ),
        ("patches of 8", VIT, "are for patches of 8 px, the model has patches of 16 px"),
        ("patches of 32", VIT, "are for patches of 32 px, the model has patches of 16 px"),
        ("gray", VIT, "are for images of 1 channels, the model takes 3"),
    ],
)
def test_refusals_say_what_is_different(
    tmp_path: Path, theirs: str, ours: str, sentence: str
) -> None:
    sizes = {"img_size": 64, "embed_dim": 24, "depth": 1, "num_heads": 2, "num_classes": 5}
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "vit_tiny_r4": (VIT, {"reg_tokens": 4}),
        "no class token": (VIT, {"class_token": False, "global_pool": "avg", "fc_norm": False}),
        "averaging": (VIT, {"global_pool": "avg"}),
        "patches of 8": (VIT, {"patch_size": 8}),
        "patches of 32": (VIT, {"patch_size": 32}),
        "gray": (VIT, {"in_chans": 1}),
    }
    name, more = kinds.get(theirs, (theirs, {}))
    weights = timm.create_model(name, **(sizes | more)).state_dict()
    path = written(tmp_path / "x.pth", {"model": weights})
    small = {"embed_dim": 24, "depth": 1, "num_heads": 2}
    with pytest.raises(UsageError, match=rf"do not fit {ours}: they {sentence}") as refused:
        build_from_pretrained(
            read_pretrained(path, {"model": ours, "img_size": 64} | small), num_classes=3
        )
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["blocks.0.attn.qkv.weight", "head.weight"])
def test_weights_that_are_not_finite(tmp_path: Path, value: float, name: str) -> None:
    weights = built(VIT).state_dict()
    weights[name][1, 2] = value
    trained = read_pretrained(written(tmp_path / "x.pth", weights), asked(VIT))
    for classes in (None, 3):
        with pytest.raises(UsageError, match=rf"x\.pth are not finite: {name} holds NaN or inf"):
            build_from_pretrained(trained, num_classes=classes)


@pytest.mark.parametrize("side", [None, 64, 96])
def test_the_size_of_training_is_read_from_the_positions(tmp_path: Path, side: int | None) -> None:
    """timm's checkpoints do not say it; its own weights of this model are for 224 px."""
    weights = built(VIT, img_size=96).state_dict()
    path = written(tmp_path / "x.pth", {"arch": VIT, "state_dict": weights})
    trained = read_pretrained(path, asked(VIT, img_size=side))
    assert trained.architecture.img_size == 96
    same_but(build_from_pretrained(trained), weights, [])
    said = resize_note(trained, side)
    assert said == ("positions are interpolated from 96 px to 64 px" if side == 64 else None)


def test_a_size_that_makes_the_model_huge(tmp_path: Path) -> None:
    path = written(tmp_path / "x.pth", built(VIT).state_dict())
    for more in ({"img_size": 10**6}, {"depth": 10**9}, {"embed_dim": 2 * 10**6}):
        with pytest.raises(UsageError, match="far fewer than a model with"):
            trained = read_pretrained(path, asked(VIT) | {"img_size": 64})
            sized = dataclasses.replace(trained.architecture, **more)
            build_from_pretrained(dataclasses.replace(trained, architecture=sized), num_classes=3)


@pytest.mark.parametrize("layout", layouts())
def test_layouts_of_others(tmp_path: Path, layout: str) -> None:
    name = "vit_tiny_patch16_224"
    weights = built(name).state_dict()
    payload = layouts()[layout](weights)
    trained = read_pretrained(written(tmp_path / "x.pth", payload), asked(name, img_size=64))
    same_but(build_from_pretrained(trained, num_classes=3), weights, ["head"])
    if layout == "headless":
        with pytest.raises(UsageError, match=r"x\.pth has no head"):
            build_from_pretrained(trained)
    else:
        same_but(build_from_pretrained(trained), weights, [])


def test_safetensors_and_a_model_named_in_the_file(tmp_path: Path) -> None:
    weights = built("resnet10t").state_dict()
    save_file(weights, tmp_path / "x.safetensors")
    trained = read_pretrained(tmp_path / "x.safetensors", asked("resnet10t"))
    same_but(build_from_pretrained(trained), weights, [])
    # As timm's own training script writes it.
    payload = {"arch": "resnet10t", "state_dict": weights, "args": argparse.Namespace(lr=0.1)}
    trained = read_pretrained(written(tmp_path / "y.pth.tar", payload))
    assert trained.architecture.model == "resnet10t"
    same_but(build_from_pretrained(trained), weights, [])


def test_averaged_weights_only_when_asked(tmp_path: Path) -> None:
    first, second = (built("resnet10t", seed=seed).state_dict() for seed in (0, 1))
    for key in ("state_dict_ema", "model_ema"):
        path = written(tmp_path / f"{key}.pth", {"state_dict": first, key: second})
        plain = read_pretrained(path, asked("resnet10t"))
        averaged = read_pretrained(path, asked("resnet10t"), averaged=True)
        assert torch.equal(plain.weights["fc.weight"], first["fc.weight"])
        assert torch.equal(averaged.weights["fc.weight"], second["fc.weight"])
    path = written(tmp_path / "none.pth", {"state_dict": first})
    with pytest.raises(UsageError, match="holds no averaged weights; leave --use-ema out"):
        read_pretrained(path, asked("resnet10t"), averaged=True)


def test_the_authors_swin_calls_things_otherwise(tmp_path: Path) -> None:
    """Downsampling at the end of a stage, buffers that timm computes, ``head`` for ``head.fc``."""
    name = "swin_tiny_patch4_window7_224"
    weights = built(name).state_dict()
    theirs = {"layers.0.blocks.0.attn.relative_position_index": torch.zeros(49, 49)}
    for key, value in weights.items():
        parts = key.replace("head.fc.", "head.").split(".")
        if parts[0] == "layers" and parts[2] == "downsample":
            parts[1] = str(int(parts[1]) - 1)
        theirs[".".join(parts)] = value
    path = written(tmp_path / "swin.pth", {"model": theirs})
    trained = read_pretrained(path, asked(name, img_size=64))
    assert trained.num_classes == 5
    same_but(build_from_pretrained(trained), weights, [])


def as_mmsegmentation(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """A Swin encoder of timm's by the names and in the order of mmsegmentation's, with a decoder.

    Their layers that halve the size read ``nn.Unfold``: it has the four places of a channel in
    turn, by rows; timm has all channels of a place in turn, by columns.
    """
    theirs = {"decode_head.conv_seg.weight": torch.ones(5, 8, 1, 1)}
    for key, value in weights.items():
        if key.startswith("head."):
            continue
        if "downsample" in key:
            part = value.unflatten(-1, (2, 2, -1))  # column, row, channel
            value = part.movedim(-1, -3).transpose(-1, -2).flatten(-3)
            parts = key.split(".")
            key = ".".join([parts[0], str(int(parts[1]) - 1), *parts[2:]])
        for ours, other in (
            ("patch_embed.proj", "patch_embed.projection"),
            ("attn.", "attn.w_msa."),
            ("mlp.fc1.", "ffn.layers.0.0."),
            ("mlp.fc2.", "ffn.layers.1."),
        ):
            key = key.replace(ours, other)
        key = key.replace("layers.", "stages.", 1) if "blocks" in key or "down" in key else key
        if key.startswith("norm."):
            for stage in range(3):
                theirs[f"backbone.norm{stage}.{key[5:]}"] = torch.full((2,), float(stage))
            key = key.replace("norm.", "norm3.")
        theirs[f"backbone.{key}"] = value
        if key.endswith("relative_position_bias_table"):
            theirs[f"backbone.{key[:-10]}index"] = torch.zeros(49, 49)
    return theirs


def test_segmentation_files_of_swin_start_an_encoder(tmp_path: Path) -> None:
    name = "swin_tiny_patch4_window7_224"
    weights = built(name).state_dict()
    path = written(tmp_path / "iter_160000.pth", {"state_dict": as_mmsegmentation(weights)})
    trained = read_pretrained(path, asked(name, img_size=64))
    assert trained.num_classes is None
    assert "timm has none (6)" in trained.notes[0] and "decode (1)" in trained.notes[1]
    same_but(build_from_pretrained(trained, num_classes=3), weights, ["head.fc"])


def test_places_of_a_halving_layer_stay_where_they_were() -> None:
    """The layer of timm's answers as one that unfolds neighbors, with the weights translated."""
    from timm.models.swin_transformer import PatchMerging

    from fdsl_train.models.openmmlab import with_timm_names

    generator = torch.Generator().manual_seed(0)
    reduction, scale = torch.randn(6, 12, generator=generator), torch.randn(12, generator=generator)
    image = torch.randn(1, 4, 6, 3, generator=generator)
    unfolded = torch.nn.functional.unfold(image.permute(0, 3, 1, 2), 2, stride=2).transpose(1, 2)
    normed = torch.nn.functional.layer_norm(unfolded, (12,), scale)
    expected = (normed @ reduction.T).view(1, 2, 3, 6)
    theirs = {"norm1.weight": torch.ones(6), "stages.0.downsample.norm.weight": scale}
    theirs["stages.0.downsample.reduction.weight"] = reduction
    named, _ = with_timm_names(theirs, {"norm.weight"})
    layer = PatchMerging(3, 6)
    ours = {key.removeprefix("layers.1.downsample."): value for key, value in named.items()}
    ours |= {"norm.bias": torch.zeros(12)}
    layer.load_state_dict({key: ours[key] for key in layer.state_dict()})
    assert torch.allclose(layer(image), expected, atol=1e-5)


class _Runs:
    """Unpickling it runs a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, ("touch ran",))


def test_a_pickle_that_would_run_code_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path / "x.pth", {"model": {}, "args": _Runs()})
    with pytest.raises(UsageError, match=r"x\.pth needs posix\.system to be read, which could run"):
        read_pretrained(path, asked("resnet10t"))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("payload", "name", "sentence"),
    [
        (
            {"state_dict": {}},
            "resnet10t",
            "holds no weights, neither at its top nor under model",
        ),
        ([torch.zeros(2)], "resnet10t", "holds no weights by name but a list"),
        ({"a": torch.zeros(2)}, None, "does not say what model it is of; give timm's name"),
        ({"a": torch.zeros(2)}, "resnet10", "timm has no model 'resnet10'; did you mean"),
        ({"a": torch.zeros(2)}, "resnet10t", "do not fit resnet10t: bn1.bias is missing"),
    ],
)
def test_files_that_are_of_no_use(
    tmp_path: Path, payload: Any, name: str | None, sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        build_from_pretrained(
            read_pretrained(written(tmp_path / "x.pth", payload), {"model": name}), num_classes=2
        )


@pytest.mark.parametrize(("name", "other"), list(itertools.pairwise([*MODELS, next(iter(MODELS))])))
def test_weights_of_another_architecture(tmp_path: Path, name: str, other: str) -> None:
    path = written(tmp_path / "x.pth", built(name).state_dict())
    trained = read_pretrained(path, asked(other, img_size=64))
    with pytest.raises(UsageError, match=rf"the weights in .*x\.pth do not fit {other}: "):
        build_from_pretrained(trained, num_classes=3)
