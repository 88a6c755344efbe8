"""One optimizer step: what changes, and what must not."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fdsl_train.config import Resolved, load_config
from fdsl_train.distributed.group import Group
from fdsl_train.distributed.launch import Process
from fdsl_train.models.architecture import architecture_of, create_model
from fdsl_train.tasks.base import Outcome, Task
from fdsl_train.tasks.classification import Accuracy, Classification
from fdsl_train.tasks.multilabel import MultiLabel
from fdsl_train.tasks.segmentation import Segmentation
from fdsl_train.training.train_step import Learner
from fdsl_train.transforms.batch import Batch
from tests.fdsl_train.conftest import write_recipe
from tests.fdsl_train.training.segment import SEGMENT

ALONE = Group(Process(), torch.device("cpu"))
QUIET = {"mixup": 0, "cutmix": 0, "drop_path": 0, "warmup_steps": 0, "warmup_lr": 1e-4}


TASKS: dict[str, tuple[type[Task], dict[str, Any]]] = {
    "single": (Classification, {}),
    "multi": (MultiLabel, {"smoothing": 0}),
    "segmentation": (Segmentation, SEGMENT | {"decoder": "linear"}),
}


def learner(folder: Path, task: str = "single", **changes: Any) -> Learner:
    kind, own = TASKS[task]
    config = resolved(folder, **(own | changes))
    sizes = {"num_classes": 8, "drop_path": config.drop_path, "seed": config.seed}
    model = create_model(architecture_of(config), **sizes)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # parts of a batch would lose other places
    return Learner(config, kind(config, 8), model, ALONE)


def resolved(folder: Path, **changes: Any) -> Resolved:
    path = write_recipe(folder / "tiny.yaml", **(QUIET | changes))
    return load_config(str(path), "pretrain", {}).resolve(32)


def batch_of(task: str) -> Batch:
    """16 images with labels of 8 classes."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(16, 3, 32, 32, generator=generator)
    labels = torch.arange(16) % 8
    if task == "multi":
        labels = torch.eye(8)[labels] + torch.eye(8)[(3 * labels + 1) % 8]
    if task == "segmentation":
        labels = torch.randint(-1, 8, (16, 32, 32), generator=generator, dtype=torch.int32)
        labels[:3] = -1  # parts have other numbers of labeled pixels
    return Batch(images, labels)


@pytest.fixture(scope="module")
def batch() -> Batch:
    return batch_of("single")


def weights(trained: Learner) -> dict[str, torch.Tensor]:
    return {name: weight.clone() for name, weight in trained.model.state_dict().items()}


def parameters(trained: Learner) -> torch.Tensor:
    """All of them in a row."""
    return torch.cat([weight.detach().flatten() for weight in trained.model.parameters()])


def after(trained: Learner, batch: Batch, steps: int = 3) -> dict[str, torch.Tensor]:
    for step in range(steps):
        trained.train_step(step, Batch(batch.images.clone(), batch.labels))  # mixup works in place
    return weights(trained)


def close(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor], atol: float) -> bool:
    return all(torch.allclose(left[name], right[name], atol=atol) for name in left)


@pytest.mark.parametrize(
    ("task", "parts"), [("single", 2), ("single", 4), ("multi", 4), ("segmentation", 4)]
)
def test_parts_of_a_batch_add_up_to_it(tmp_path: Path, task: str, parts: int) -> None:
    batch = batch_of(task)
    plain, accumulated = (
        learner(tmp_path, task, **more) for more in ({}, {"grad_accum_steps": parts})
    )
    first, second = plain.train_step(0, batch), accumulated.train_step(0, batch)
    assert second["loss"] == pytest.approx(float(first["loss"]), rel=1e-5)
    if task != "segmentation":  # whose share of right pixels is of those that have a class
        (measure,) = first.keys() - {"loss"}
        assert second[measure] == pytest.approx(float(first[measure]))
    assert close(after(plain, batch), after(accumulated, batch), 1e-4)


@pytest.mark.parametrize(
    "same",
    [{"torchcompile": "eager"}, {"channels_last": "true"}, {"clip_grad": 1e9}],
    ids=lambda value: next(iter(value)),
)
def test_what_changes_no_result(tmp_path: Path, batch: Batch, same: dict[str, Any]) -> None:
    assert close(after(learner(tmp_path), batch), after(learner(tmp_path, **same), batch), 1e-5)


@pytest.mark.parametrize("mode", ["norm", "value", "agc"])
def test_clipped_gradients_move_less(tmp_path: Path, batch: Batch, mode: str) -> None:
    begin = weights(learner(tmp_path))
    moved = []
    for limit in (None, 1e-5):
        sgd = {"opt": "momentum", "lr": 0.1, "weight_decay": 0, "clip_grad": limit}
        end = after(learner(tmp_path, clip_mode=mode, **sgd), batch, 1)
        moved.append(sum(float((end[name] - begin[name]).abs().sum()) for name in begin))
    assert 0 < moved[1] < 0.2 * moved[0]


@pytest.mark.parametrize(
    ("mode", "size"), [("norm", torch.linalg.vector_norm), ("value", lambda move: move.abs().max())]
)
def test_gradients_are_clipped_without_the_scale_of_float16(
    tmp_path: Path, batch: Batch, mode: str, size: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    """A step of plain descent is then exactly as long as the limit allows."""
    half = {"amp": "true", "amp_dtype": "float16", "clip_grad": 1e-3, "clip_mode": mode}
    plain = {"opt": "momentum", "momentum": 0, "lr": 0.5, "weight_decay": 0}
    trained = learner(tmp_path, **half, **plain)
    begin = parameters(trained)
    trained.train_step(0, batch)
    assert float(size(parameters(trained) - begin)) == pytest.approx(0.5 * 1e-3, rel=1e-3)


class Drawing:
    """An objective that only draws from the generators."""

    def __init__(self) -> None:
        self.drawn: list[tuple[float, float, float]] = []

    def step(self, model: nn.Module, batch: Batch) -> Outcome:
        drawn = (random.random(), float(np.random.random()), float(torch.rand(1)))  # noqa: NPY002
        self.drawn.append(drawn)
        return Outcome(model(batch.images).square().mean(), {})

    def score(self) -> Accuracy:
        raise NotImplementedError


def test_draws_belong_to_step_process_and_part(tmp_path: Path, batch: Batch) -> None:
    config = resolved(tmp_path, grad_accum_steps=2)

    def draws(rank: int) -> list[tuple[float, float, float]]:
        task, group = Drawing(), Group(Process(rank=rank), torch.device("cpu"))
        model = create_model(architecture_of(config), num_classes=8, drop_path=0, seed=0)
        trained = Learner(config, task, model, group)
        for step in range(3):
            trained.train_step(step, batch)
        return task.drawn

    found = [draws(rank) for rank in range(3)]
    assert [len(each) for each in found] == [6, 6, 6]
    for one_generator in zip(*(triple for each in found for triple in each), strict=True):
        assert len(set(one_generator)) == 18
    assert draws(1) == found[1]


@pytest.mark.parametrize("task", TASKS)
def test_the_moving_average_is_that_of_the_weights(tmp_path: Path, task: str) -> None:
    batch = batch_of(task)
    trained = learner(tmp_path, task, model_ema="true", model_ema_decay=0.9)
    expected = weights(trained)
    for step in range(4):
        trained.train_step(step, batch)
        for name, weight in trained.model.state_dict().items():
            expected[name] = 0.9 * expected[name] + 0.1 * weight
    average = trained.best_model.state_dict()
    assert trained.best_model is not trained.model
    assert all(torch.allclose(average[name], expected[name], atol=1e-6) for name in expected)


def test_layers_learn_slower_towards_the_input(tmp_path: Path, batch: Batch) -> None:
    trained = learner(tmp_path, layer_decay=0.5)
    trained.train_step(0, batch)
    rates = {
        id(weight): group["lr"]
        for group in trained._optimizer.param_groups
        for weight in group["params"]
    }
    by_name = {name: rates[id(weight)] for name, weight in trained.model.named_parameters()}
    peak = trained._config.peak_lr
    assert by_name["head.weight"] == pytest.approx(peak)
    assert by_name["blocks.1.mlp.fc1.weight"] == pytest.approx(peak / 2)
    assert by_name["blocks.0.mlp.fc1.weight"] == pytest.approx(peak / 4)
    assert by_name["patch_embed.proj.weight"] == pytest.approx(peak / 8)


def test_a_linear_probe_trains_the_head_alone(tmp_path: Path, batch: Batch) -> None:
    trained = learner(tmp_path, freeze="backbone", drop_path=0.5)
    begin = weights(trained)
    end = after(trained, batch)
    changed = {name for name in begin if not torch.equal(begin[name], end[name])}
    assert changed == {"head.weight", "head.bias"}


@pytest.mark.parametrize("freeze", ["none", "backbone"])
def test_validation_and_training_take_turns(tmp_path: Path, batch: Batch, freeze: str) -> None:
    trained = learner(tmp_path, freeze=freeze)
    trained.train_step(0, batch)
    before = [module.training for module in trained.model.modules()]
    assert any(before)
    assert not any(module.training for module in trained.to_validate().modules())
    trained.train_step(1, batch)
    assert [module.training for module in trained.model.modules()] == before


def test_any_optimizer_of_timm_steps_and_goes_on(tmp_path: Path, batch: Batch) -> None:
    for name in ("lamb", "lion", "adan", "nadamw", "muon"):
        whole, first, second = (learner(tmp_path, opt=name, lr=1e-3) for _ in range(3))
        expected = after(whole, batch, 4)
        after(first, batch, 2)
        second.restore(first.state())
        for step in (2, 3):
            second.train_step(step, batch)
        assert all(torch.equal(expected[k], v) for k, v in weights(second).items()), name


def test_dropped_paths_do_not_depend_on_what_was_drawn_before(tmp_path: Path, batch: Batch) -> None:
    found = []
    for noise in (0, 7):
        trained = learner(tmp_path, drop_path=0.5, mixup=0.8)
        torch.rand(noise)
        found.append(after(trained, batch))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    assert isinstance(trained.model, nn.Module)
