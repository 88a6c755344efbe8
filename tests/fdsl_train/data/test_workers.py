"""Loader processes: how many there are, and that batches arrive where shared memory is small."""

import multiprocessing.forkserver
import os
from collections import namedtuple
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fdsl_gen.core.errors import UsageError
from fdsl_train.config import load_config
from fdsl_train.data import workers
from fdsl_train.data.loader import Loader
from fdsl_train.data.sampler import Order
from fdsl_train.data.sources.base import Sample
from fdsl_train.data.sources.image_folder import open_folders
from fdsl_train.data.sources.shards import open_split, read_dataset
from fdsl_train.data.workers import Copied, loader_processes, to_hand_over
from fdsl_train.transforms import train_transform
from fdsl_train.transforms.batch import AugmentedSample, Batch
from tests.fdsl_train.conftest import write_recipe

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """No launcher's variables, and nothing remembered of them."""
    for name in ("LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "SLURM_STEP_TASKS_PER_NODE"):
        monkeypatch.delenv(name, raising=False)
    workers._processes_here.cache_clear()
    yield
    workers._processes_here.cache_clear()


def shared_memory(monkeypatch, *, total: int, free: int) -> None:
    usage = Usage(total, total - free, free)
    monkeypatch.setattr("fdsl_train.data.workers.shutil.disk_usage", lambda _: usage)


@pytest.mark.parametrize(
    ("asked", "local", "count"),
    [(None, "1", 16), (None, "8", 8), (None, "100", 1), (4, "8", 4), (100, "1", 64), (0, "1", 0)],
)
def test_processes_follow_the_cpus(monkeypatch, asked, local, count):
    monkeypatch.setattr(workers, "default_workers", lambda: 64)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", local)
    assert loader_processes(asked) == count


@pytest.mark.parametrize("erased", [None, (torch.ones(1, 5, dtype=torch.int64), torch.ones(12))])
def test_what_finds_no_room_is_copied(monkeypatch, erased):
    batch = Batch(torch.arange(300, dtype=torch.uint8).view(1, 3, 10, 10), torch.ones(1), erased)
    size = sum(part.nbytes for part in (batch.images, batch.labels, *(erased or ())))
    shared_memory(monkeypatch, total=4000, free=1000 + 2 * size)
    assert to_hand_over(batch, 2) is batch
    for patch in (
        lambda: shared_memory(monkeypatch, total=4000, free=1000 + 2 * size - 1),
        lambda: monkeypatch.setenv("SLURM_STEP_TASKS_PER_NODE", "8(x2),4"),
    ):
        patch()
        workers._processes_here.cache_clear()
        copied = to_hand_over(batch, 2)
        assert isinstance(copied, Copied)
        assert len(ForkingPickler.dumps(copied)) > size  # all of it is in the message
        found = copied.batch()
        assert torch.equal(found.images, batch.images) and torch.equal(found.labels, batch.labels)
        assert (found.erased is None) == (erased is None)
        if erased is not None:
            assert all(map(torch.equal, found.erased, erased))
        shared_memory(monkeypatch, total=4000, free=1000 + 2 * size)


def test_batches_are_the_same_by_either_way(dataset, tmp_path, monkeypatch):
    config = load_config(str(write_recipe(tmp_path / "x.yaml")), "pretrain", {}).resolve(32)
    source = open_split(dataset, read_dataset(dataset), "train")
    order = Order(source.shard_sizes, 0, 8)

    def batches(processes: int) -> list[Batch]:
        how = {"seed": 0, "batches": range(6), "workers": processes}
        return list(Loader(source, order, train_transform(config), **how))

    alone = batches(0)
    shared_memory(monkeypatch, total=64 << 20, free=0)
    for own, copied in zip(alone, batches(2), strict=True):
        assert torch.equal(own.images, copied.images)
        assert torch.equal(own.labels, copied.labels)


class _Tells:
    """Ends a worker with what it finds in its environment."""

    def apply(self, sample: Sample) -> AugmentedSample:
        raise UsageError(f"{os.environ.get('FDSL_EARLY')} {os.environ.get('FDSL_LATE')}")

    def finish(self, batch: Batch) -> Tensor:
        raise AssertionError


def test_workers_have_the_environment_of_when_they_start(dataset, monkeypatch):
    """The server that they come from has that of when it was started."""
    monkeypatch.setattr(workers, "used_here", lambda: True)
    source = open_split(dataset, read_dataset(dataset), "train")
    order = Order(source.shard_sizes, 0, 4)
    monkeypatch.setenv("FDSL_EARLY", "early")
    told = Loader(source, order, _Tells(), seed=0, batches=range(1), workers=1)
    multiprocessing.forkserver.ensure_running()
    monkeypatch.delenv("FDSL_EARLY")
    monkeypatch.setenv("FDSL_LATE", "late")
    with pytest.raises(UsageError, match=r"^None late$"):
        list(told)


def test_the_validation_images_of_imagenet_need_folders(tmp_path: Path):
    for name in ("train/n01440764/a.JPEG", "train/n01443537/b.JPEG", "val/ILSVRC2012_val_1.JPEG"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UsageError, match=r"val holds the validation images of ImageNet .*valprep"):
        open_folders(tmp_path, val_split=None, seed=0)
