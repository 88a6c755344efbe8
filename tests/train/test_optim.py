"""The learning rate at its corners, and which weights decay."""

from pathlib import Path

import pytest
import torch
from conftest import write_recipe

from fdsl_train.config import Resolved, load_config
from fdsl_train.training.optim import create_optimizer, learning_rate


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
