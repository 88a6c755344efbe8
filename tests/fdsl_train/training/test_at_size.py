"""What large runs need: less memory, norms over all processes, a profile, use of the peak."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

from fdsl_gen.core.errors import FdslError, UsageError
from fdsl_train.distributed.group import Group
from fdsl_train.distributed.launch import Process
from fdsl_train.models.architecture import (
    Architecture,
    checkpoint_gradients,
    outline,
    with_shared_norms,
)
from fdsl_train.training import utilization
from fdsl_train.training.profiling import StepProfiler
from fdsl_train.training.utilization import flops_of_a_step, peak_flops, peak_rate
from fdsl_train.transforms.batch import Batch
from tests.fdsl_train.conftest import run, write_recipe
from tests.fdsl_train.training.test_train_step import learner, parameters, resolved

CPU = torch.device("cpu")


def test_activations_are_computed_again_with_the_same_result(tmp_path: Path) -> None:
    """Stochastic depth, too, is drawn once."""
    generator = torch.Generator().manual_seed(1)
    batch = Batch(torch.randn(16, 3, 32, 32, generator=generator), torch.arange(16) % 8)
    ends, calls = [], []
    for change in ("false", "true"):
        made = learner(tmp_path, drop_path=0.5, grad_checkpointing=change)
        count = 0

        def counted(*_: Any) -> None:
            nonlocal count
            count += 1

        made.model.blocks[0].attn.register_forward_hook(counted)  # type: ignore[union-attr,index]
        for step in range(2):
            made.train_step(step, Batch(batch.images.clone(), batch.labels))
        calls.append(count)
        ends.append(parameters(made))
    assert torch.equal(ends[0], ends[1])
    assert calls == [2, 4]


def test_a_model_without_checkpointing_is_told() -> None:
    with pytest.raises(UsageError, match="grad_checkpointing: timm has none for Linear"):
        checkpoint_gradients(nn.Linear(1, 1))
    with pytest.raises(UsageError, match="grad_checkpointing: timm has none for"):
        checkpoint_gradients(outline(Architecture(model="inception_v3", img_size=299)))


def test_batch_norms_of_gpus_are_shared() -> None:
    with torch.device("meta"):
        plain = timm.create_model("resnet18")
        vit = timm.create_model("vit_tiny_patch16_224", depth=1)
    assert with_shared_norms(vit, on_gpus=4) is vit
    assert with_shared_norms(plain, on_gpus=0) is plain
    assert with_shared_norms(plain, on_gpus=1) is plain
    before = dict(plain.named_parameters())
    kinds = {type(layer) for layer in plain.modules()}
    assert nn.SyncBatchNorm not in kinds
    shared = with_shared_norms(plain, on_gpus=2)
    norms = [m for m in shared.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert norms and all(isinstance(norm, nn.SyncBatchNorm) for norm in norms)
    assert all(before[name] is weight for name, weight in shared.named_parameters())
    assert shared.state_dict().keys() >= before.keys()


def test_a_profile_of_some_steps(dataset: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", steps=5, profile=2)
    out = tmp_path / "out"
    result = run("pretrain", "--recipe", recipe, "--data", dataset, "--output", out)
    assert result.exit_code == 0, result.output
    assert f"profiled steps 4 to 5: {out / 'profile' / 'longest.txt'}" in result.output
    table = (out / "profile" / "longest.txt").read_text().splitlines()
    assert sum("aten::" in line for line in table) in range(5, 11)
    events = json.loads(gzip.decompress((out / "profile" / "trace.json.gz").read_bytes()))
    assert sum(event.get("name") == "aten::addmm" for event in events["traceEvents"]) > 8


@pytest.mark.parametrize(
    ("steps", "count", "profiled"),
    [
        (range(0, 100), 3, [10, 11, 12]),
        (range(40, 100), 2, [50, 51]),
        (range(0, 11), 3, [8, 9, 10]),
        (range(7, 9), 5, [7, 8]),
        (range(0, 100), None, []),
        (range(9, 9), 5, []),
    ],
)
def test_which_steps_are_profiled(
    tmp_path: Path, steps: range, count: int | None, profiled: list[int]
) -> None:
    assert list(StepProfiler(tmp_path, steps, count, CPU)._steps) == profiled


def test_a_profile_that_is_not_to_be(tmp_path: Path) -> None:
    profiler = StepProfiler(tmp_path, range(3), 2, CPU)
    profiler.before(1)
    profiler.close()  # the run ended in between
    profiler.close()
    assert not list(tmp_path.iterdir())
    (tmp_path / "profile").write_text("")
    profiler.before(1)
    profiler.after(1)
    with pytest.raises(FdslError, match="cannot write into"):
        profiler.after(2)


@pytest.mark.parametrize(
    ("card", "mixed"),
    [
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA A10", 125),
        ("NVIDIA A10G", None),
        ("NVIDIA A40", 149.7),
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H200", 989),
        ("Tesla V100-SXM2-32GB", 125),
        ("Tesla T4", 65),
        ("NVIDIA L4", 121),
        ("NVIDIA L40S", 362),
        ("NVIDIA GeForce RTX 4090", 165.2),
        ("AMD Instinct MI300X", None),
    ],
)
def test_peaks_of_cards(card: str, mixed: float | None) -> None:
    assert peak_flops(card, half=True) == (None if mixed is None else mixed * 1e12)


def test_flops_of_published_models() -> None:
    """timm tells 1.26 and 1.82 billion multiplications and additions, of which each is two."""
    for name, billions in (("vit_tiny_patch16_224", 1.26), ("resnet18", 1.82)):
        model = outline(Architecture(model=name, img_size=224), num_classes=1000)
        assert flops_of_a_step(model, 224) == pytest.approx(3 * 2 * billions * 1e9, rel=0.03)


def test_the_rate_of_a_peak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = resolved(tmp_path, amp="true")
    assert peak_rate(config, 8, Group(Process(), CPU)) is None
    monkeypatch.setattr("torch.cuda.get_device_name", lambda _: "NVIDIA A100-SXM4-40GB")
    pair = Group(Process(world_size=2), torch.device("cuda", 0))
    per_image = utilization.flops_of_a_step(outline(Architecture.of(config.to_dict())), 32)
    assert peak_rate(config, 1, pair) == pytest.approx(2 * 312e12 / per_image)
    probe = resolved(tmp_path, amp="true", freeze="backbone")
    assert peak_rate(probe, 1, pair) > 2.5 * 2 * 312e12 / per_image  # type: ignore[operator]
    monkeypatch.setattr("torch.cuda.get_device_name", lambda _: "a card of tomorrow")
    assert peak_rate(config, 8, pair) is None


def test_use_of_the_peak_is_logged(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fdsl_train.training.run.peak_rate", lambda *_: 1000.0)
    recipe = write_recipe(tmp_path / "r.yaml", steps=3, warmup_steps=0)
    out = tmp_path / "out"
    result = run("pretrain", "--recipe", recipe, "--data", dataset, "--output", out)
    assert result.exit_code == 0, result.output
    for text in (out / "metrics.jsonl").read_text().splitlines():
        line = json.loads(text)
        assert line["mfu"] == pytest.approx(line["images_per_s"] / 1000)
