"""Files of others: every layout of weights, and what must not be loaded."""

import argparse
import itertools
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from small_models import MODELS, asked, built, same_but, written

from fdsl_gen.core.errors import UsageError
from fdsl_train.models.adapt import model_for
from fdsl_train.models.pretrained import read_trained


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


@pytest.mark.parametrize("layout", layouts())
def test_layouts_of_others(tmp_path: Path, layout: str) -> None:
    name = "vit_tiny_patch16_224"
    weights = built(name).state_dict()
    payload = layouts()[layout](weights)
    trained = read_trained(written(tmp_path / "x.pth", payload), asked(name, img_size=64))
    same_but(model_for(trained, num_classes=3), weights, ["head"])
    if layout == "headless":
        with pytest.raises(UsageError, match=r"x\.pth has no head"):
            model_for(trained)
    else:
        same_but(model_for(trained), weights, [])


def test_safetensors_and_a_model_named_in_the_file(tmp_path: Path) -> None:
    weights = built("resnet10t").state_dict()
    save_file(weights, tmp_path / "x.safetensors")
    trained = read_trained(tmp_path / "x.safetensors", asked("resnet10t"))
    same_but(model_for(trained), weights, [])
    # As timm's own training script writes it.
    payload = {"arch": "resnet10t", "state_dict": weights, "args": argparse.Namespace(lr=0.1)}
    trained = read_trained(written(tmp_path / "y.pth.tar", payload))
    assert trained.architecture.model == "resnet10t"
    same_but(model_for(trained), weights, [])


def test_averaged_weights_only_when_asked(tmp_path: Path) -> None:
    first, second = (built("resnet10t", seed=seed).state_dict() for seed in (0, 1))
    for key in ("state_dict_ema", "model_ema"):
        path = written(tmp_path / f"{key}.pth", {"state_dict": first, key: second})
        plain = read_trained(path, asked("resnet10t"))
        averaged = read_trained(path, asked("resnet10t"), averaged=True)
        assert torch.equal(plain.weights["fc.weight"], first["fc.weight"])
        assert torch.equal(averaged.weights["fc.weight"], second["fc.weight"])
    path = written(tmp_path / "none.pth", {"state_dict": first})
    with pytest.raises(UsageError, match="holds no averaged weights; leave --use-ema out"):
        read_trained(path, asked("resnet10t"), averaged=True)


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
    trained = read_trained(path, asked(name, img_size=64))
    assert trained.num_classes == 5
    same_but(model_for(trained), weights, [])


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
        read_trained(path, asked("resnet10t"))
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
        model_for(
            read_trained(written(tmp_path / "x.pth", payload), {"model": name}), num_classes=2
        )


@pytest.mark.parametrize(("name", "other"), list(itertools.pairwise([*MODELS, next(iter(MODELS))])))
def test_weights_of_another_architecture(tmp_path: Path, name: str, other: str) -> None:
    path = written(tmp_path / "x.pth", built(name).state_dict())
    trained = read_trained(path, asked(other, img_size=64))
    with pytest.raises(UsageError, match=rf"the weights in .*x\.pth do not fit {other}: "):
        model_for(trained, num_classes=3)
