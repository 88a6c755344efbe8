"""A dataset decoded once: the same samples, made by one process, whole or not there."""

import os
import shutil
import tempfile
from collections import namedtuple
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from fdsl_gen import generate, load_recipe
from fdsl_gen.core.errors import UsageError
from fdsl_train.cli.main import main
from fdsl_train.data.sources import decoded
from fdsl_train.data.sources.decoded import decode_once, decoded_bytes
from fdsl_train.data.sources.shards import ShardSource, open_split, read_dataset
from tests.fdsl_train.conftest import build_dataset, write_recipe
from tests.fdsl_train.training.segment import write_masked


def source_of(folder: Path) -> ShardSource:
    return open_split(folder, read_dataset(folder), "train")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty temporary folder."""
    folder = tmp_path / "own"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def decode_in_a_process(folder: Path, temporary: str) -> tuple[int, int]:
    """Decode, and tell the sum of all pixels and how many samples this process took itself."""
    tempfile.tempdir = temporary
    source = source_of(folder)
    taken = 0
    take = ShardSource.read_sample

    def counted(self: ShardSource, shard: int, row: int) -> object:
        nonlocal taken
        taken += 1
        return take(self, shard, row)

    ShardSource.read_sample = counted  # type: ignore[method-assign,assignment]
    copy = decode_once(source)
    assert copy is not None
    return sum(int(np.sum(copy.read_sample(number).image)) for number in range(32)), taken


def test_samples_are_those_of_the_shards(dataset: Path, own: Path) -> None:
    source, plain = source_of(dataset), source_of(dataset)
    assert decoded_bytes(source) == 32 * 64 * 64
    copy = decode_once(source)
    assert copy is not None
    source.use(copy)
    for shard, size in enumerate(source.shard_sizes):
        for row in range(size):
            ours, stored = source.read_sample(shard, row), plain.read_sample(shard, row)
            assert np.array_equal(ours.image, stored.image)
            assert ours.label == stored.label
    names = [path.name for path in (own / f"fdsl-{os.getuid()}" / "decoded-checked").iterdir()]
    assert sorted(names) == sorted([source.digest, f"{source.digest}.lock"])


def test_masks_stand_beside_the_pixels(tmp_path: Path, own: Path) -> None:
    folder = write_masked(tmp_path / "masked")
    source, plain = source_of(folder), source_of(folder)
    assert decoded_bytes(source) == 12 * 32 * 32 * 2
    copy = decode_once(source)  # which compares the digests of the masks, too
    assert copy is not None
    source.use(copy)
    for row in range(source.shard_sizes[1]):
        ours, stored = source.read_sample(1, row), plain.read_sample(1, row)
        assert np.array_equal(ours.image, stored.image)
        assert np.array_equal(np.asarray(ours.label), np.asarray(stored.label))
        assert np.asarray(ours.label).dtype == np.asarray(stored.label).dtype


def test_a_set_with_points_is_trained_on_as_it_stands(tmp_path: Path, own: Path) -> None:
    sizes: dict[str, Any] = {"num_categories": 2, "num_instances": 8, "image_size": 32}
    points = load_recipe("exfractaldb-1k", num_shards=1, points=16, **sizes)
    generate(points, tmp_path / "points", workers=1)
    recipe = write_recipe(tmp_path / "tiny.yaml", steps=2, epochs=None, warmup_steps=0)
    words = ["pretrain", "--recipe", recipe, "--data", tmp_path / "points"]
    result = CliRunner().invoke(main, list(map(str, [*words, "--output", tmp_path / "out"])))
    assert result.exit_code == 0, result.output
    assert "decoded once" not in result.output


def test_one_of_several_processes_decodes(dataset: Path, own: Path) -> None:
    with get_context("spawn").Pool(2) as pool:
        found = pool.starmap(decode_in_a_process, [(dataset, str(own))] * 2, chunksize=1)
    assert found[0][0] == found[1][0] > 0
    assert sorted(taken for _, taken in found) == [0, 32]


def test_what_a_killed_process_left_is_made_anew(dataset: Path, own: Path) -> None:
    source = source_of(dataset)
    assert decode_once(source) is not None
    (final,) = (path for path in own.rglob(source.digest))
    shutil.move(final, final.with_suffix(".tmp"))
    (final.with_suffix(".tmp") / "labels.npy").write_bytes(b"half")
    copy = decode_once(source)
    assert copy is not None
    assert copy.read_sample(31).label == source.read_sample(2, 9).label
    assert not final.with_suffix(".tmp").exists()


def test_a_damaged_sample_leaves_nothing(tmp_path: Path, own: Path) -> None:
    def spoil(samples: list) -> list:
        samples[1] = type(samples[1])("00007_00009", (("png", b"not a PNG"), ("cls", b"7")))
        return samples

    source = source_of(build_dataset(tmp_path / "d", edit=spoil))
    with pytest.raises(UsageError, match="sample 00007_00009: the image is damaged"):
        decode_once(source)
    assert [path.suffix for path in own.rglob("*") if path.is_file()] == [".lock"]


def test_without_room_nothing_is_decoded(
    dataset: Path, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(decoded.shutil, "disk_usage", lambda _: usage(10, 10, 1000))
    assert decode_once(source_of(dataset)) is None


def test_a_run_is_the_same_with_and_without(dataset: Path, own: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", workers=1)
    for name, limit, said in (("with", "4", True), ("without", "0", False)):
        words = ["pretrain", "--recipe", recipe, "--data", dataset, "--output", tmp_path / name]
        result = CliRunner().invoke(main, [*map(str, words), "--decoded-cache", limit])
        assert result.exit_code == 0, result.output
        assert ("decoded once for this machine" in result.output) == said
    weights = "export/model.safetensors"
    first, second = ((tmp_path / name / weights).read_bytes() for name in ("with", "without"))
    assert first == second
