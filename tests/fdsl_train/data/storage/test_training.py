"""Training from object storage: the same run as from disk, through trouble too."""

import errno
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from fdsl_gen import generate, load_recipe
from fdsl_gen.storage.manifest import read_manifest
from fdsl_train.cli.main import main
from fdsl_train.data.locate.dataset import DatasetLocation
from fdsl_train.data.sources.base import order_of
from tests.fdsl_gen.storage.emulators import SECRET
from tests.fdsl_gen.storage.proxy import BUSY, CUT, FORBIDDEN, PASS, SILENT

FLAGS = """--recipe cpu_smoke --img-size 32 --patch-size 8 --embed-dim 32 --depth 1 --num-heads 2
    --steps 12 --warmup-steps 2 --global-batch-size 16 --scale 0.5,1 --log-every 1 --workers 1"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """48 small images in 6 shards."""
    out = tmp_path_factory.mktemp("set") / "data"
    recipe = load_recipe(
        "rcdb-1k", num_categories=8, num_instances=6, num_shards=6, image_size=48, encoding="gray8"
    )
    generate(recipe, out, workers=1)
    return out


@pytest.fixture
def stored(folder, direct) -> Path:
    """The same in the bucket."""
    manifest = read_manifest(folder)
    for entry in manifest.splits["train"].shards:
        direct.upload(entry.file, folder / entry.file, entry.sha256)
        index = f"__meta__/index/{entry.file.removesuffix('.tar')}.npy"
        direct.write(index, (folder / index).read_bytes())
    direct.write("manifest.json", manifest.to_json())
    return folder


def pretrain(data, output, *more) -> Result:
    words = ["pretrain", *FLAGS.split(), "--data", str(data), "--output", str(output)]
    return CliRunner().invoke(main, [*words, *map(str, more)])


def losses(output) -> list[float]:
    lines = (output / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


def reached(store, tmp_path) -> list[str]:
    """The flags by which a store is reached, with a cache of two shards or a little more."""
    options = store.options
    return [
        "--endpoint-url", options.endpoint_url, "--retries", options.retries,
        "--timeout", options.timeout, "--cache-dir", tmp_path / "cache",
    ]  # fmt: skip


@pytest.mark.parametrize("decoded", ["0", "4"])
def test_a_run_from_the_bucket_is_the_run_from_disk(
    stored, bucket, proxy, tmp_path, monkeypatch, decoded
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert pretrain(stored, tmp_path / "disk", "--decoded-cache", "0").exit_code == 0
    tars = 0

    def trouble(method: str, path: str, before: int) -> str:
        nonlocal tars
        if method == "GET" and path.endswith(".tar") and before == 0:
            tars += 1
            return (CUT, BUSY)[tars % 2]
        return PASS

    proxy.rule = trouble
    result = pretrain(
        bucket.url, tmp_path / "bucket", *reached(bucket, tmp_path), "--decoded-cache", decoded
    )
    assert result.exit_code == 0, result.output
    assert tars == 6
    assert losses(tmp_path / "bucket") == losses(tmp_path / "disk")
    kept = [path.name for path in (tmp_path / "cache").iterdir() if path.suffix == ".part"]
    assert kept == []


def test_a_cache_smaller_than_the_set(stored, bucket, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("fdsl_train.data.locate.cache.KEEP_SECONDS", 0.0)
    largest = max(path.stat().st_size for path in stored.glob("*.tar"))
    flags = [*reached(bucket, tmp_path), "--decoded-cache", "0", "--cache-gb", 3 * largest / 1e9]
    result = pretrain(bucket.url, tmp_path / "out", *flags, "--workers", "0")
    assert result.exit_code == 0, result.output
    held = sum(path.stat().st_size for path in (tmp_path / "cache").glob("*.tar"))
    assert held <= 3 * largest


def test_an_outage_ends_a_run_with_its_own_code(stored, hasty, proxy, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    proxy.rule = lambda method, path, before: SILENT if path.endswith(".tar") else PASS
    for workers in (0, 1):
        output = tmp_path / f"out-{workers}"
        result = pretrain(hasty.url, output, *reached(hasty, tmp_path), "--workers", workers)
        assert result.exit_code == 3, result.output
        (line,) = [line for line in result.stderr.splitlines() if line.startswith("fdsl-train: ")]
        assert "does not answer" in line


def test_a_full_disk_under_the_cache_is_a_sentence_and_the_same_command_goes_on(
    stored, bucket, proxy, tmp_path, monkeypatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    fsync, calls = os.fsync, 0

    def full(handle):
        nonlocal calls
        calls += ".tar" in os.readlink(f"/proc/self/fd/{handle}")
        if calls == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    here = ["--decoded-cache", "0", "--workers", "0"]
    command = [*reached(bucket, tmp_path), *here, "--resume", "auto"]
    with monkeypatch.context() as patch:
        patch.setattr("fdsl_train.data.locate.cache.ShardCache.prefetch", lambda *_: None)
        patch.setattr(os, "fsync", full)
        result = pretrain(bucket.url, tmp_path / "out", *command)
    assert result.exit_code == 1, result.output
    (line,) = result.stderr.splitlines()
    assert re.match(rf"fdsl-train: cannot write {tmp_path}/cache/rcdb.*\.tar: No space left", line)
    assert line.endswith("; make room and start the same command with --resume auto")
    before = proxy.count("GET", ".tar")
    assert pretrain(bucket.url, tmp_path / "out", *command).exit_code == 0
    assert proxy.count("GET", ".tar") - before <= 4, "what had come is not fetched again"
    assert pretrain(stored, tmp_path / "disk", *here).exit_code == 0
    assert losses(tmp_path / "out") == losses(tmp_path / "disk")


def test_instances_that_count_as_one_are_found_without_fetching_shards(
    direct, bucket, proxy, tmp_path
):
    recipe = load_recipe(
        "rcdb-1k",
        num_categories=8,
        num_instances=6,
        num_shards=6,
        image_size=48,
        views_per_sample=3,
    )
    generate(recipe, direct.url, workers=1, storage=direct.options, tmp_dir=tmp_path / "tmp")
    generate(recipe, tmp_path / "folder", workers=1)
    near = DatasetLocation(data=tmp_path / "folder")
    far = DatasetLocation(data=bucket.url, storage=bucket.options, cache_dir=tmp_path / "cache")
    found = far.split(far.manifest(), "train")
    assert np.array_equal(found.views, near.split(near.manifest(), "train").views)
    assert proxy.count("GET", ".tar") == 0
    plan = order_of(found, seed=0, batch_size=4, repeats=1)
    assert set(plan.next_shards(2)) == {position.shard for position in plan.batch(10)}


def test_what_cannot_be_read_is_a_sentence(stored, bucket, proxy, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    flags = reached(bucket, tmp_path)

    def refused(data, *more) -> str:
        result = pretrain(data, tmp_path / "out", *more)
        assert result.exit_code in (2, 3), result.output
        assert len(result.stderr.strip().splitlines()) == 1, result.stderr
        assert SECRET not in result.output
        return result.stderr

    assert "there is no dataset there" in refused(bucket.url + "/other", *flags)
    assert "not a place" in refused("ftp://bucket/set")
    assert "not a place" in refused("pipe:cat shards")
    proxy.rule = lambda method, path, before: FORBIDDEN
    assert "was refused (AccessDenied); check the credentials" in refused(bucket.url, *flags)
    proxy.rule = lambda method, path, before: PASS
    small = refused(bucket.url, *flags, "--cache-gb", "0.000001")
    assert "cannot hold a shard" in small
