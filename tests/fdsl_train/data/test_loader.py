"""Batches are the same whatever the number of workers and wherever the run begins."""

import os
import signal
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fdsl_gen.core.errors import FdslError, UsageError
from fdsl_train.config import Resolved, load_config
from fdsl_train.data.loader import Loader
from fdsl_train.data.sampler import Order
from fdsl_train.data.sources.base import Sample
from fdsl_train.data.sources.shards import open_split, read_dataset
from fdsl_train.transforms import train_transform
from fdsl_train.transforms.batch import AugmentedSample, Batch
from tests.fdsl_train.conftest import TINY, build_dataset, write_recipe


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Resolved:
    path = write_recipe(tmp_path_factory.mktemp("recipe") / "tiny.yaml")
    return load_config(str(path), "pretrain", {}).resolve(32)


def loader(
    folder: Path, config: Resolved, workers: int, batches: range, batch_size: int = 10
) -> Loader:
    source = open_split(folder, read_dataset(folder), "train")
    return Loader(
        source,
        Order(source.shard_sizes, config.seed, batch_size),
        train_transform(config),
        seed=config.seed,
        batches=batches,
        workers=workers,
    )


def same(left: list[Batch], right: list[Batch]) -> bool:
    return len(left) == len(right) and all(
        torch.equal(a.images, b.images) and torch.equal(a.labels, b.labels)
        for a, b in zip(left, right, strict=True)
    )


# PyTorch warns where there are fewer CPUs than workers; the order is what matters (2026-11).
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_change_nothing(dataset: Path, config: Resolved, workers: int) -> None:
    alone = list(loader(dataset, config, 0, range(11)))
    assert len(alone) == 11
    assert same(alone, list(loader(dataset, config, workers, range(11))))
    for start in (1, 4, 9):
        late = list(loader(dataset, config, workers, range(start, 11)))
        assert same(alone[start:], late), start


def test_draws_belong_to_the_sample_not_to_the_batch(dataset: Path, config: Resolved) -> None:
    large = list(loader(dataset, config, 0, range(3), batch_size=20))
    small = list(loader(dataset, config, 0, range(6), batch_size=10))
    assert torch.equal(
        torch.cat([batch.images for batch in large]), torch.cat([batch.images for batch in small])
    )


def test_epochs_draw_anew(dataset: Path, config: Resolved) -> None:
    batches = loader(dataset, config, 0, range(2), batch_size=32)
    order = Order(open_split(dataset, read_dataset(dataset), "train").shard_sizes, config.seed, 32)
    first, second = (
        {position.number: image for position, image in zip(order.batch(b), images, strict=True)}
        for b, (images, *_) in enumerate(batches)
    )
    assert first.keys() == second.keys() == set(range(32))
    assert not any(torch.equal(first[number], second[number]) for number in first)


def test_repeats_of_a_sample_are_drawn_apart(dataset: Path, config: Resolved) -> None:
    source = open_split(dataset, read_dataset(dataset), "train")
    order = Order(source.shard_sizes, config.seed, 12, repeats=3)
    transform = train_transform(config)
    (batch,) = Loader(source, order, transform, seed=0, batches=range(1), workers=0)
    for first in range(0, 12, 3):
        assert len({position.number for position in order.batch(0)[first : first + 3]}) == 1
        one, two, three = batch.images[first : first + 3]
        assert not torch.equal(one, two)
        assert not torch.equal(two, three)
        assert not torch.equal(one, three)


@pytest.mark.parametrize("world_size", [2, 4])
def test_processes_take_the_places_of_a_batch_in_turn(
    dataset: Path, config: Resolved, world_size: int
) -> None:
    source = open_split(dataset, read_dataset(dataset), "train")
    order = Order(source.shard_sizes, config.seed, 8)
    whole = list(loader(dataset, config, 0, range(3), batch_size=8))
    for rank in range(world_size):
        settings = {"seed": config.seed, "batches": range(3), "workers": 0}
        ranks = {"rank": rank, "world_size": world_size}
        share = list(Loader(source, order, train_transform(config), **settings, **ranks))
        places = slice(rank, None, world_size)
        assert same(share, [Batch(batch.images[places], batch.labels[places]) for batch in whole])


def test_batches_are_normalized_rgb(dataset: Path, config: Resolved) -> None:
    (batch,) = loader(dataset, config, 0, range(1))
    side = TINY["img_size"]
    assert batch.images.shape == (10, 3, side, side)
    assert batch.images.dtype == torch.float32
    assert batch.labels.dtype == torch.int64


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_in_a_worker_arrives_as_its_sentence(
    tmp_path: Path, config: Resolved, workers: int
) -> None:
    def spoil(samples: list) -> list:
        samples[1] = type(samples[1])("00007_00009", (("png", b"not a PNG"), ("cls", b"7")))
        return samples

    folder = build_dataset(tmp_path / "d", edit=spoil)
    with pytest.raises(UsageError) as caught:
        list(loader(folder, config, workers, range(9)))
    assert "000000.tar, sample 00007_00009: the image is damaged" in str(caught.value)
    assert "\n" not in str(caught.value)


class _Dies:
    def apply(self, sample: Sample) -> AugmentedSample:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    def finish(self, batch: Batch) -> Tensor:
        raise AssertionError


def test_a_killed_worker_is_a_sentence(dataset: Path) -> None:
    source = open_split(dataset, read_dataset(dataset), "train")
    order = Order(source.shard_sizes, 0, 4)
    killed = Loader(source, order, _Dies(), seed=0, batches=range(3), workers=1)
    with pytest.raises(FdslError, match="a data loader process died"):
        list(killed)
