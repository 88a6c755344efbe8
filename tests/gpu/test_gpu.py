"""What a GPU does otherwise than a CPU.

Where there is none, what is quick runs on the CPU, so that the tests themselves are tried; where
there is one, all run on both but for what only a GPU has.
``make gpu-check`` runs these and prints the table of ``bench.gpu``. Sums on a GPU have no fixed
order, so results are compared to some digits.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from fdsl_train.config import Resolved, load_config
from fdsl_train.data.loader import Loader
from fdsl_train.data.sampler import Order
from fdsl_train.data.sources.shards import open_split, read_dataset
from fdsl_train.distributed.group import Group, backend_of
from fdsl_train.distributed.launch import Process
from fdsl_train.models.architecture import architecture_of, create_model, with_shared_norms
from fdsl_train.tasks.classification import Classification
from fdsl_train.training import checkpoint
from fdsl_train.training.checkpoint_writer import CheckpointWriter
from fdsl_train.training.logs import read_metrics
from fdsl_train.training.train_step import Learner
from fdsl_train.transforms import train_transform
from fdsl_train.transforms.batch import Batch
from tests.fdsl_train.conftest import run, write_recipe
from tests.fdsl_train.training.segment import SEGMENT, write_masked

NEEDS_GPU = pytest.mark.gpu
GPU = pytest.param("cuda", marks=NEEDS_GPU)
QUIET = {"mixup": 0, "cutmix": 0, "drop_path": 0, "warmup_steps": 0}
STEPS = 4


@pytest.fixture(params=["cpu", GPU])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Each in turn; the GPU by number, as runs have it."""
    return torch.device("cuda", 0) if request.param == "cuda" else torch.device("cpu")


def resolved(folder: Path, **changes: Any) -> Resolved:
    path = write_recipe(folder / "tiny.yaml", **(QUIET | changes))
    return load_config(str(path), "pretrain", {}).resolve(32)


def losses(config: Resolved, device: torch.device) -> list[float]:
    """Of the first steps, on the same images."""
    model = create_model(
        architecture_of(config), num_classes=8, drop_path=config.drop_path, seed=config.seed
    )
    taught = Learner(config, Classification(config, 8), model, Group(Process(), device))
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(16, 3, config.img_size, config.img_size, generator=generator)
    labels = torch.arange(16) % 8
    found = []
    for step in range(STEPS):
        batch = Batch(images.to(device), labels.to(device))
        found.append(taught.train_step(step, batch)["loss"].item())
    assert taught.is_finite()
    return found


@pytest.mark.parametrize(
    ("changes", "near"),
    [
        pytest.param({"amp": "true", "amp_dtype": "bfloat16"}, 0.05, marks=NEEDS_GPU),
        pytest.param({"amp": "true", "amp_dtype": "float16"}, 0.02, marks=NEEDS_GPU),
        pytest.param({"torchcompile": "eager"}, 1e-3, marks=NEEDS_GPU),
        pytest.param({"grad_checkpointing": "true"}, 1e-3, marks=NEEDS_GPU),
        ({"channels_last": "true"}, 1e-3),
    ],
    ids=["bfloat16", "float16", "compiled", "checkpointed", "channels last"],
)
def test_ways_to_compute_agree(
    device: torch.device, changes: dict[str, Any], near: float, tmp_path: Path
) -> None:
    plain = losses(resolved(tmp_path), torch.device("cpu"))
    assert losses(resolved(tmp_path, **changes), device) == pytest.approx(plain, rel=near)
    assert plain[-1] < plain[0]


@NEEDS_GPU
@pytest.mark.parametrize("amp", ["false", "true"])
def test_a_compiled_model(amp: str, tmp_path: Path) -> None:
    cuda = torch.device("cuda", 0)
    plain = losses(resolved(tmp_path, amp=amp), cuda)
    compiled = losses(resolved(tmp_path, amp=amp, torchcompile="inductor"), cuda)
    assert compiled == pytest.approx(plain, rel=0.02)


@NEEDS_GPU
def test_a_convolutional_network_in_channels_last(device: torch.device, tmp_path: Path) -> None:
    sizes = dict.fromkeys(("patch_size", "embed_dim", "depth", "num_heads"))
    config = {"model": "test_resnet", "img_size": 64} | sizes
    plain = losses(resolved(tmp_path, **config), torch.device("cpu"))
    last = losses(resolved(tmp_path, channels_last="true", **config), device)
    assert last == pytest.approx(plain, rel=1e-2)


@pytest.fixture
def loader(dataset: Path, tmp_path: Path) -> Callable[[torch.device, int], Loader]:
    config = resolved(tmp_path, reprob=0.9)

    def made(device: torch.device, workers: int) -> Loader:
        source = open_split(dataset, read_dataset(dataset), "train")
        return Loader(
            source, Order(source.shard_sizes, config.seed, 16), train_transform(config),
            seed=config.seed, batches=range(6), workers=workers, device=device,
        )  # fmt: skip

    return made


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=NEEDS_GPU)])
def test_batches_are_those_of_the_cpu(
    loader: Callable[[torch.device, int], Loader], device: torch.device, workers: int
) -> None:
    """Copied on a stream of their own, erased by other operations: the same images."""
    whole = zip(loader(device, workers), loader(torch.device("cpu"), 0), strict=True)
    for made, wanted in whole:
        assert made.images.device.type == made.labels.device.type == device.type
        torch.testing.assert_close(made.images.cpu(), wanted.images, rtol=0, atol=1e-6)
        assert torch.equal(made.labels.cpu(), wanted.labels)


@NEEDS_GPU
def test_batches_are_pinned(loader: Callable[[torch.device, int], Loader]) -> None:
    for batch in loader(torch.device("cuda", 0), 1)._on_cpu():
        assert batch.images.is_pinned() and batch.labels.is_pinned()
        assert batch.erased is not None and batch.erased[1].is_pinned()


def trained(
    dataset: Path, folder: Path, device: torch.device, name: str, *more: str
) -> list[float]:
    """The losses of a run."""
    recipe = write_recipe(
        folder / "run.yaml", steps=8, device="auto" if device.type == "cuda" else "cpu",
        amp="true", model_ema="true", aug_repeats=2,
    )  # fmt: skip
    out = folder / name
    result = run("pretrain", "--recipe", recipe, "--data", dataset, "--output", out, *more)
    if result.exit_code != 130:
        assert result.exit_code == 0, (result.output, result.exception)
        assert (out / "export" / "model.safetensors").exists()
    return [row["loss"] for _, row in read_metrics(out / "metrics.jsonl")]


@NEEDS_GPU
def test_a_stream_for_copies_changes_no_loss(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda = torch.device("cuda", 0)
    ahead = trained(dataset, tmp_path, cuda, "ahead", "--workers", "1")
    monkeypatch.setattr(Loader, "_ahead", lambda self: map(self._finished, self._on_cpu()))
    plain = trained(dataset, tmp_path, cuda, "plain", "--workers", "1")
    assert ahead == pytest.approx(plain, rel=1e-3)


@NEEDS_GPU
def test_an_interrupted_run_goes_on(
    dataset: Path, tmp_path: Path, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trained(dataset, tmp_path, device, "whole")
    take = Learner.train_step

    def interrupted(self: Learner, step: int, batch: Batch) -> dict[str, torch.Tensor]:
        if step == 6:
            raise KeyboardInterrupt
        return take(self, step, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "train_step", interrupted)
        assert len(trained(dataset, tmp_path, device, "parts")) == 6
    parts = trained(dataset, tmp_path, device, "parts", "--resume", "auto")
    assert len(parts) == 8
    assert parts == pytest.approx(whole, rel=1e-6 if device.type == "cpu" else 1e-2)


def test_a_checkpoint_is_of_its_moment(device: torch.device, tmp_path: Path) -> None:
    """On a GPU the copy is still on its way when the weights change."""
    weights = torch.arange(4_000_000, device=device, dtype=torch.float32)
    wanted = weights.cpu().clone()
    writer = CheckpointWriter(device)
    writer.save([tmp_path / "last"], {"model": {"w": weights}})
    weights.add_(1)
    writer.wait()
    assert torch.equal(checkpoint.load(tmp_path / "last")["model"]["w"], wanted)


def test_a_group_of_one(device: torch.device) -> None:
    """NCCL on a GPU: sums, gradients of a wrapped model, and norms over all processes."""
    dist.init_process_group(backend_of(device), store=dist.HashStore(), rank=0, world_size=1)
    try:
        total = torch.ones(3, device=device)
        dist.all_reduce(total)
        assert total.tolist() == [1, 1, 1]
        torch.manual_seed(0)
        layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten())
        alone = layers.to(device)
        images = torch.randn(4, 3, 8, 8, device=device)
        alone(images).square().sum().backward()
        before = [weight.grad.clone() for weight in alone.parameters() if weight.grad is not None]
        alone.zero_grad()
        shared = with_shared_norms(alone, on_gpus=2 if device.type == "cuda" else 0)
        several = DistributedDataParallel(
            shared, device_ids=[device] if device.type == "cuda" else None
        )
        several(images).square().sum().backward()
        after = [weight.grad for weight in several.parameters()]
        torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-4)
    finally:
        dist.destroy_process_group()


@NEEDS_GPU
def test_masks(device: torch.device, tmp_path: Path) -> None:
    """Pre-training on masks, and their measures."""
    data = write_masked(tmp_path / "data")
    recipe = write_recipe(
        tmp_path / "r.yaml", **SEGMENT, steps=2, warmup_steps=0, decoder="linear",
        global_batch_size=4, device="auto" if device.type == "cuda" else "cpu", amp="true",
    )  # fmt: skip
    out = tmp_path / "out"
    result = run("pretrain", "--recipe", recipe, "--data", data, "--output", out)
    assert result.exit_code == 0, (result.output, result.exception)
    rows = [row for _, row in read_metrics(out / "metrics.jsonl")]
    assert [row["step"] for row in rows] == [1, 2]
