"""Sets of which several instances count as one sample (``views_per_sample``)."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from fdsl_gen import load_recipe
from fdsl_gen.archive.tar import Encoded
from fdsl_gen.core.errors import UsageError
from fdsl_train.cli.main import main
from fdsl_train.data.sampler import MultiViewSampler
from fdsl_train.data.sources.base import num_samples, order_of
from fdsl_train.data.sources.shards import ShardSource, open_split, read_dataset
from tests.fdsl_train.conftest import build_dataset, write_recipe


def source_of(folder: Path) -> ShardSource:
    return open_split(folder, read_dataset(folder), "train")


def test_groups_are_neighboring_instances_of_a_category(tmp_path: Path) -> None:
    folder = build_dataset(tmp_path / "d", num_instances=6, views_per_sample=3)
    source = source_of(folder)
    assert source.views is not None and source.views.shape == (16, 3, 2)
    assert num_samples(source) == 16
    for number, group in enumerate(source.views):
        keys = [source._shard(int(shard)).key(int(row)) for shard, row in group]
        category, part = divmod(number, 2)
        assert keys == [f"{category:05d}_{3 * part + i:05d}" for i in range(3)]


def test_an_epoch_shows_one_of_each_group(tmp_path: Path) -> None:
    source = source_of(build_dataset(tmp_path / "d", num_instances=6, views_per_sample=3))
    plan = order_of(source, seed=0, batch_size=16, repeats=1)
    assert isinstance(plan, MultiViewSampler)
    seen: set[tuple[int, int]] = set()
    for epoch in range(3):
        labels = [source.read_sample(place.shard, place.row).label for place in plan.batch(epoch)]
        assert sorted(labels) == [label for label in range(8) for _ in range(2)]
        seen |= {(place.shard, place.row) for place in plan.batch(epoch)}
    assert len(seen) == 48


def test_a_run_counts_groups(tmp_path: Path) -> None:
    folder = build_dataset(tmp_path / "d", num_instances=4, views_per_sample=2)
    recipe = write_recipe(tmp_path / "r.yaml", steps=4, warmup_steps=0)
    words = ["pretrain", "--recipe", recipe, "--data", folder, "--output", tmp_path / "out"]
    result = CliRunner().invoke(main, list(map(str, words)))
    assert result.exit_code == 0, result.output
    assert "64 images, 4 epochs of 16" in result.output


def test_a_missing_instance_is_refused(tmp_path: Path) -> None:
    def rename(samples: list[Encoded]) -> list[Encoded]:
        return [Encoded("00000_00099", samples[0].members), *samples[1:]]

    folder = build_dataset(tmp_path / "d", views_per_sample=2, edit=rename)
    with pytest.raises(UsageError, match="lack one of their 2 instances"):
        source_of(folder)


def test_the_published_sets_that_count_so() -> None:
    assert load_recipe("ofdb-3d-1k").views_per_sample == 12
