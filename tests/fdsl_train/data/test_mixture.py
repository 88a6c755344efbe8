"""Several sets as one: exact shares, own orders, and batches equal for any number of processes."""

import itertools
import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from fdsl_gen.core.errors import UsageError
from fdsl_train.config import Resolved, load_config
from fdsl_train.data.loader import Loader
from fdsl_train.data.open import data_spec, join_pretrain, open_pretrain
from fdsl_train.data.sampler import Position
from fdsl_train.data.sources.base import Source, num_samples, order_of
from fdsl_train.data.sources.mixture import MixtureSource, mix, shares_of
from fdsl_train.transforms import train_transform
from tests.fdsl_train.conftest import build_dataset, run, start, wait_for_lines, write_recipe
from tests.fdsl_train.training.test_resume import logged

RCDB = "recipe:rcdb-1k?num_categories=3&num_instances=5&num_shards=2&image_size=48"
COLOR = "recipe:fractal-color?num_categories=4&num_instances=2&num_shards=1&image_size=48"
VIEWS = "recipe:ofdb-3d-1k?num_categories=6&num_shards=2&image_size=32&num_points=500"
SCENES = "recipe:multi-fractal?num_categories=4&num_images=8&num_shards=1"


def source_of(data: str | Path) -> Source:
    return open_pretrain(data_spec(data)).train


@pytest.fixture
def sets(dataset: Path) -> list[Source]:
    """32 patterns of 8 classes, 15 images of 3, 8 of 4 in color, 6 of 6 with 12 views each."""
    return [source_of(data) for data in (dataset, RCDB, COLOR, VIEWS)]


def taken(source: Source, batches: range, *, batch_size: int, repeats: int = 1) -> list[Position]:
    plan = order_of(source, seed=3, batch_size=batch_size, repeats=repeats)
    return [position for index in batches for position in plan.batch(index)]


def by_set(mixture: MixtureSource, positions: list[Position]) -> list[list[Position]]:
    """Positions of every set, with shards and numbers of its own."""
    shards = list(itertools.accumulate((len(p.shard_sizes) for p in mixture.parts), initial=0))
    numbers = list(itertools.accumulate((sum(p.shard_sizes) for p in mixture.parts), initial=0))
    found: list[list[Position]] = [[] for _ in mixture.parts]
    for at in positions:
        which = max(k for k, first in enumerate(shards[:-1]) if first <= at.shard)
        own = at._replace(shard=at.shard - shards[which], number=at.number - numbers[which])
        found[which].append(own)
    return found


@pytest.mark.parametrize("weights", [None, (3, 1, 1, 0.5), (1, 1, 1, 1)])
@pytest.mark.parametrize("repeats", [1, 3])
def test_every_set_has_its_share_and_its_own_order(
    sets: list[Source], weights: tuple[float, ...] | None, repeats: int
) -> None:
    mixture = mix(sets, weights)
    epoch = num_samples(mixture)
    assert epoch == 32 + 15 + 8 + 6 == sum(mixture.shares)
    if weights is None:
        assert mixture.shares == [32, 15, 8, 6]
    positions = taken(mixture, range(4 * repeats), batch_size=epoch, repeats=repeats)
    for k in range(4):  # every epoch on its own
        part = by_set(mixture, positions[k * epoch * repeats : (k + 1) * epoch * repeats])
        assert [len(one) for one in part] == [share * repeats for share in mixture.shares]
    for source, own in zip(sets, by_set(mixture, positions), strict=True):
        alone = taken(source, range(len(own)), batch_size=1, repeats=repeats)
        assert own == alone


def test_sets_stand_between_each_other_and_any_batch_can_be_had(sets: list[Source]) -> None:
    mixture = mix(sets[:2], (3, 1))
    plan = order_of(mixture, seed=3, batch_size=8, repeats=1)
    in_order = [plan.batch(index) for index in range(40)]
    counts = [Counter(at.shard >= 3 for at in batch)[True] for batch in in_order]
    assert 1.5 < sum(counts) / 40 < 2.5 and len(set(counts)) > 1
    for index in (31, 2, 17):
        fresh = order_of(mixture, seed=3, batch_size=8, repeats=1)
        assert fresh.batch(index) == in_order[index]
    assert set(plan.next_shards(0)) <= set(range(5))


@given(
    count=st.integers(1, 10**9),
    weights=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=5),
)
@example(count=5, weights=[1.0, 1.0, 1.0, 6.0, 6.0])
def test_shares_are_whole_and_next_to_exact(count: int, weights: list[float]) -> None:
    count = max(count, len(weights))
    shares = shares_of(count, weights)
    assert sum(shares) == count and min(shares) >= 1
    for share, weight in zip(shares, weights, strict=True):
        wanted = count * weight / sum(weights)
        assert abs(share - wanted) <= len(weights) + 1e-6 * count


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Resolved:
    path = write_recipe(tmp_path_factory.mktemp("recipe") / "tiny.yaml")
    return load_config(str(path), "pretrain", {}).resolve(32)


def batches(source: Source, config: Resolved, **how: Any) -> list[tuple[Tensor, Tensor]]:
    plan = order_of(source, seed=config.seed, batch_size=8, repeats=1)
    loader = Loader(
        source, plan, train_transform(config), seed=config.seed, batches=range(6), **how
    )
    return [(batch.images, batch.labels) for batch in loader]


# PyTorch warns where there are fewer CPUs than workers; the order is what matters (2026-11).
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_batches_are_equal_for_any_processes(sets: list[Source], config: Resolved) -> None:
    """Gray images beside colored ones, labels side by side."""
    mixture = mix(sets[:3], (2, 1, 1))
    alone = batches(mixture, config, workers=0)
    labels = torch.cat([labels for _, labels in alone])
    assert set(labels.tolist()) & set(range(8))
    assert set(labels.tolist()) & {8, 9, 10} and set(labels.tolist()) & {11, 12, 13, 14}
    assert int(labels.max()) < mixture.num_classes == 15
    two = batches(mixture, config, workers=2)
    shares = [batches(mixture, config, workers=2, rank=r, world_size=2) for r in (0, 1)]
    for k, (images, own) in enumerate(alone):
        assert torch.equal(two[k][0], images) and torch.equal(two[k][1], own)
        for rank in range(2):
            assert torch.equal(shares[rank][k][0], images[rank::2])
            assert torch.equal(shares[rank][k][1], own[rank::2])


def test_classes_keep_their_names(sets: list[Source]) -> None:
    patterns, rcdb, _, _ = sets
    names = mix([patterns, rcdb], None).class_names
    assert names is not None and len(set(names)) == 11
    assert names[0] == f"{patterns.name} 00000" and names[10] == f"{rcdb.name} 00002"
    patterns.class_names = tuple("abcdefgh")
    assert mix([patterns, rcdb], None).class_names == (*"abcdefgh", *names[8:])
    rcdb.class_names = ("x", "a", "y")
    both = mix([patterns, rcdb], None).class_names
    assert both == (f"{patterns.name} a", *"bcdefgh", "x", f"{rcdb.name} a", "y")
    twice = mix([patterns, patterns], None).class_names
    assert twice is not None and len(set(twice)) == 16


def test_what_does_not_go_together_is_refused(sets: list[Source]) -> None:
    scenes = source_of(SCENES)
    with pytest.raises(UsageError, match="sets that are trained together need one type"):
        mix([sets[0], scenes], None)
    with pytest.raises(UsageError, match="3 weights for 2 sets; give one for every --data"):
        mix(sets[:2], (1, 2, 3))
    both = mix([scenes, source_of(SCENES)], None)
    label = both.read_sample(1, 0).label
    assert isinstance(label, tuple) and min(label) >= 4
    with pytest.raises(UsageError, match="data_weights: is for several sets"):
        join_pretrain([open_pretrain(data_spec(RCDB))], (1.0,))


def test_parts_to_validate_on_keep_their_labels(dataset: Path, tmp_path: Path) -> None:
    held = build_dataset(tmp_path / "held", num_classes=5, validation=True)
    opened = [open_pretrain(data_spec(data)) for data in (dataset, held, RCDB)]
    joined = join_pretrain(opened, None)
    assert joined.validation is not None
    assert joined.validation.num_classes == joined.train.num_classes == 16
    assert joined.validation.shard_sizes == opened[1].validation.shard_sizes  # type: ignore[union-attr]
    labels = {joined.validation.read_sample(0, row).label for row in range(3)}
    assert labels <= set(range(8, 13))


@pytest.mark.slow
def test_a_run_on_two_sets_can_be_killed_and_resumed(dataset: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", steps=16, depth=1)
    words = ["pretrain", "--recipe", recipe, "--data", dataset, "--data", RCDB]
    words += ["--data-weights", "3,1", "--resume", "auto", "--output"]
    result = run(*words, tmp_path / "whole")
    assert result.exit_code == 0, result.output
    assert "11 classes" in result.output
    config = json.loads((tmp_path / "whole" / "export" / "config.json").read_text())
    assert config["label_names"][8] == f"{RCDB} 00000"
    process = start(*words, tmp_path / "killed")
    wait_for_lines(tmp_path / "killed" / "metrics.jsonl", 6, process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    result = run(*words, tmp_path / "killed", "--workers", "2")
    assert result.exit_code == 0, result.output
    assert logged(tmp_path / "killed") == logged(tmp_path / "whole")
    result = run(*[*words, tmp_path / "killed", "--data-weights", "1,1"])
    assert result.exit_code == 2 and "other data" in result.output
