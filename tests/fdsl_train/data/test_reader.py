"""Samples come out as they went in, with and without an index."""

import pickle
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from fdsl_gen.archive import png
from fdsl_gen.archive.paths import META
from fdsl_gen.archive.shard_reader import ShardReader
from fdsl_gen.archive.tar import scan_index
from fdsl_gen.core.errors import UsageError
from fdsl_train.data.sources.base import num_samples
from fdsl_train.data.sources.shards import ShardSource, open_split, read_dataset
from tests.fdsl_train.conftest import build_dataset, pattern


def source_of(folder: Path, split: str = "train") -> ShardSource:
    return open_split(folder, read_dataset(folder), split)


def contents(source: ShardSource) -> dict[int, list[bytes]]:
    """Images by label."""
    found: dict[int, list[bytes]] = {}
    for shard, size in enumerate(source.shard_sizes):
        for row in range(size):
            sample = source.read_sample(shard, row)
            found.setdefault(sample.label, []).append(sample.image.tobytes())
    return found


def test_every_sample_is_read(dataset: Path) -> None:
    source = source_of(dataset)
    assert num_samples(source) == 32
    found = contents(source)
    for label in range(8):
        expected = {pattern(label, instance).tobytes() for instance in range(4)}
        assert set(found[label]) == expected


def test_a_missing_index_is_built(dataset: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(dataset, copy)
    shutil.rmtree(copy / META / "index")
    assert contents(source_of(copy)) == contents(source_of(dataset))
    name = "patterns-train-000001"
    stored = np.load(dataset / META / "index" / f"{name}.npy")
    assert np.array_equal(scan_index(dataset / f"{name}.tar", ("png", "cls")), stored)


def test_a_source_can_be_sent_to_another_process(dataset: Path) -> None:
    source = source_of(dataset)
    before = source.read_sample(0, 0)
    copy = pickle.loads(pickle.dumps(source))
    assert copy.read_sample(0, 0).image.tobytes() == before.image.tobytes()


def test_more_shards_than_may_be_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fdsl_train.data.sources.shards._OPEN_SHARDS", 2)
    source = source_of(build_dataset(tmp_path / "d", num_shards=5))
    assert contents(source) == contents(source)
    assert len(source._open) == 2


def test_the_digest_tells_other_data(dataset: Path, tmp_path: Path) -> None:
    digest = source_of(dataset).digest
    assert source_of(build_dataset(tmp_path / "same")).digest == digest
    assert source_of(build_dataset(tmp_path / "cut", num_shards=2)).digest != digest
    assert source_of(build_dataset(tmp_path / "more", num_instances=5)).digest != digest


def test_an_index_of_another_tar_is_refused(tmp_path: Path) -> None:
    folder = build_dataset(tmp_path / "d")
    index = folder / META / "index" / "patterns-train-000000.npy"
    np.save(index, np.load(index)[:-1])
    with pytest.raises(UsageError, match="does not fit the manifest"):
        source_of(folder).read_sample(0, 0)


def test_a_split_that_is_not_there(dataset: Path) -> None:
    with pytest.raises(UsageError, match="no validation split; it has train"):
        source_of(dataset, "validation")


def test_an_image_that_says_it_is_huge_is_not_decoded(
    dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = struct.pack(">IIBBBBB", 13_000, 13_000, 8, 2, 0, 0, 0)
    huge = b"".join(
        (png._SIGNATURE, png._chunk(b"IHDR", header), png._chunk(b"IDAT", b""), png._IEND)
    )
    read = ShardReader.members
    monkeypatch.setattr(
        ShardReader, "members", lambda self, *args: read(self, *args) | {"png": huge}
    )
    with pytest.raises(UsageError, match="has 13000x13000 pixels, not 64x64"):
        source_of(dataset).read_sample(0, 0)
