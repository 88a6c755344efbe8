"""The learning rate at its corners, and which weights decay."""

from pathlib import Path

import pytest
import torch

from fdsl_train.config import Resolved, load_config
from fdsl_train.training.optim import create_optimizer, learning_rate
from tests.fdsl_train.conftest import write_recipe


def config(tmp_path: Path, **changes: object) -> Resolved:
    path = write_recipe(tmp_path / "tiny.yaml", **changes)
    return load_config(str(path), "pretrain", {}).resolve(32)


def test_the_corners(tmp_path: Path) -> None:
    run = config(tmp_path, steps=1000, warmup_steps=100, lr=1e-3, warmup_lr=1e-6, min_lr=1e-5)
    assert learning_rate(run, 0) == pytest.approx(1e-6)
    assert learning_rate(run, 50) == pytest.approx((1e-6 + 1e-3) / 2)
    assert learning_rate(run, 99) < learning_rate(run, 100) == pytest.approx(1e-3)
    assert learning_rate(run, 550) == pytest.approx((1e-5 + 1e-3) / 2)
    assert learning_rate(run, 1000) == pytest.approx(1e-5)
    rates = [learning_rate(run, step) for step in range(1000)]
    assert max(rates) == rates[100]
    assert rates[100:] == sorted(rates[100:], reverse=True)


def test_without_warm_up(tmp_path: Path) -> None:
    run = config(tmp_path, warmup_steps=0, lr=1e-3)
    assert learning_rate(run, 0) == pytest.approx(1e-3)


def test_onecycle_rises_by_half_a_cosine(tmp_path: Path) -> None:
    lengths = {"steps": 1000, "warmup_steps": 100}
    run = config(tmp_path, sched="onecycle", lr=1e-3, warmup_lr=1e-4, min_lr=1e-5, **lengths)
    assert learning_rate(run, 0) == pytest.approx(1e-4)
    # (1 - cos(45 degrees)) / 2 = 0.146447 of the way, and as much is missing at three quarters
    assert learning_rate(run, 25) == pytest.approx(1e-4 + 9e-4 * 0.146447, rel=1e-5)
    assert learning_rate(run, 50) == pytest.approx(5.5e-4)
    assert learning_rate(run, 75) == pytest.approx(1e-3 - 9e-4 * 0.146447, rel=1e-5)
    assert learning_rate(run, 100) == pytest.approx(1e-3)
    assert learning_rate(run, 325) == pytest.approx(1e-3 - 9.9e-4 * 0.146447, rel=1e-5)


def test_the_peak_scales_with_the_batch(tmp_path: Path) -> None:
    run = config(tmp_path, lr=1e-3, lr_base_batch=512, global_batch_size=256, warmup_steps=0)
    assert learning_rate(run, 0) == pytest.approx(5e-4)


@pytest.mark.parametrize("opt", ["adamw", "sgd"])
def test_biases_and_norms_do_not_decay(tmp_path: Path, opt: str) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.LayerNorm(3))
    optimizer = create_optimizer(config(tmp_path, opt=opt, weight_decay=0.3), model)
    decay = {
        id(weight): group["weight_decay"]
        for group in optimizer.param_groups
        for weight in group["params"]
    }
    shares = {name: decay[id(weight)] for name, weight in model.named_parameters()}
    assert shares == {"0.weight": 0.3, "0.bias": 0.0, "1.weight": 0.0, "1.bias": 0.0}
    if opt == "sgd":
        assert optimizer.param_groups[0]["nesterov"]
        assert optimizer.param_groups[0]["momentum"] == 0.9


@pytest.mark.parametrize(("opt", "second"), [("momentum", 1.4), ("sgd", 1.56)])
def test_the_momentum_is_the_one_asked_for(tmp_path: Path, opt: str, second: float) -> None:
    """Two steps along a gradient of 1, in steps of the learning rate.

    The velocity is 1, then 0.4 + 1 = 1.4. Nesterov's steps are the gradient and 0.4 of the
    velocity: 1.4, then 1 + 0.4 * 1.4 = 1.56.
    """
    model = torch.nn.Linear(1, 1, bias=False)
    changes = {"opt": opt, "momentum": 0.4, "weight_decay": 0, "lr": 0.25, "warmup_steps": 0}
    optimizer = create_optimizer(config(tmp_path, **changes), model)
    places = []
    for _ in range(2):
        before = model.weight.item()
        model.weight.grad = torch.ones(1, 1)
        optimizer.step()
        places.append((before - model.weight.item()) / 0.25)
    first = {"momentum": 1.0, "sgd": 1.4}[opt]
    assert places == pytest.approx([first, second], rel=1e-5)
