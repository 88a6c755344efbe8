"""A dataset made straight into object storage is the one that a folder would hold."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fdsl_gen import generate, load_recipe
from fdsl_gen.build.finalize import finalize
from fdsl_gen.core.errors import ShardsFailed, UsageError
from fdsl_gen.dataset.repair import restore_recipe
from fdsl_gen.dataset.store import DatasetStore, lock_dataset, open_for_writing
from tests.conftest import SMALL, options
from tests.fdsl_gen.storage.emulators import SECRET
from tests.fdsl_gen.storage.proxy import BUSY, CUT, PASS, SILENT

TAR = "fractal-1-train-000003.tar"


def contents(store) -> dict[str, bytes]:
    return {name: store.read(name) for name in store.list()}


def files(folder) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


def make(recipe, bucket, tmp_path, **more):
    more = {"workers": 1, "storage": bucket.options, "tmp_dir": tmp_path / "tmp"} | more
    return generate(recipe, bucket.url, **more)


def equal_but_for_markers(one, other):
    assert one.keys() == other.keys()
    for name in one:
        if "/markers/" in name:  # they tell of the run
            assert json.loads(one[name])["shard"] == json.loads(other[name])["shard"]
        else:
            assert one[name] == other[name], name


@pytest.fixture(scope="module")
def finished(small_folder):
    return files(small_folder)


@pytest.mark.parametrize("workers", [1, 2])
def test_equals_a_folder(small, finished, bucket, proxy, direct, tmp_path, workers):
    manifest = make(small(), bucket, tmp_path, workers=workers)
    assert manifest.to_json() == finished["manifest.json"]
    equal_but_for_markers(contents(direct), finished)
    stat = bucket.stat(TAR)
    assert stat.sha256 in finished["manifest.json"].decode()
    puts = [path for method, path in proxy.heard if method == "PUT"]
    assert puts[0].endswith("/__meta__/recipe.json")
    assert puts[-1].endswith("/sets/one/manifest.json")
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_second_run_sends_nothing_and_mends_what_is_missing(
    small, finished, bucket, proxy, direct, tmp_path
):
    make(small(), bucket, tmp_path)
    proxy.heard.clear()
    make(small(), bucket, tmp_path)
    assert proxy.count("PUT") == 0
    direct.delete("manifest.json")
    direct.delete(TAR)
    make(small(), bucket, tmp_path)
    assert proxy.count("PUT", ".tar") == 1
    equal_but_for_markers(contents(direct), finished)


def test_a_shard_without_a_marker_is_read_and_marked(
    small, finished, bucket, proxy, direct, tmp_path
):
    make(small(), bucket, tmp_path)
    marker = "__meta__/markers/fractal-1-train-000003.json"
    for name in ("manifest.json", marker, "__meta__/index/fractal-1-train-000003.npy"):
        direct.delete(name)
    proxy.heard.clear()
    make(small(), bucket, tmp_path)
    assert proxy.count("PUT", ".tar") == 0
    assert json.loads(direct.read(marker))["run"]["adopted"] is True
    equal_but_for_markers(contents(direct), finished)


def test_a_damaged_marker_counts_as_missing(small, finished, bucket, direct, tmp_path):
    make(small(), bucket, tmp_path)
    marker = "__meta__/markers/fractal-1-train-000003.json"
    direct.write(marker, direct.read(marker).replace(b'"blank": 0', b'"blank": 1'))
    assert [shard.index for shard in open_for_writing(bucket).missing()] == [3]
    make(small(), bucket, tmp_path)
    equal_but_for_markers(contents(direct), finished)


def test_a_lost_recipe_is_restored_from_the_manifest(small, finished, bucket, direct, tmp_path):
    make(small(), bucket, tmp_path)
    direct.delete("__meta__/recipe.json")
    restore_recipe(bucket)
    equal_but_for_markers(contents(direct), finished)


def test_a_strange_object_under_a_final_name_is_not_touched(small, bucket, direct, tmp_path):
    make(small(), bucket, tmp_path)
    direct.write(TAR, b"mine")
    with pytest.raises(ShardsFailed, match=f"{TAR} is there but not what belongs there"):
        make(small(), bucket, tmp_path)
    assert direct.read(TAR) == b"mine"
    assert not any(p.is_file() for p in (tmp_path / "tmp").rglob(f"*{TAR}*"))


def test_of_two_writers_of_a_shard_the_second_adopts(small, finished, bucket, direct, tmp_path):
    """Another process finishes the shard between our look and our request."""
    from fdsl_gen.build.generate import generate_shard
    from fdsl_gen.recipe.order import shards_of

    folder = lock_dataset(bucket, small(), tmp_dir=tmp_path / "tmp")

    class Late(DatasetStore):
        def has(self, shard):
            return False

    direct.write(TAR, finished[TAR])
    late = Late(folder.store, folder.work, folder.recipe)
    entry = generate_shard(late, shards_of(folder.recipe)[3], lambda count: None)
    assert entry.sha256 in finished["manifest.json"].decode()
    assert direct.read(TAR) == finished[TAR]


def test_another_recipe_is_refused_and_overwrite_replaces_it(small, bucket, direct, tmp_path):
    make(small(), bucket, tmp_path)
    before = contents(direct)
    with pytest.raises(UsageError, match=r"belongs to another recipe \(different: variant.delta\)"):
        make(small(delta=0.2), bucket, tmp_path)
    assert contents(direct) == before
    direct.write("notes.txt", b"mine")
    manifest = make(small(delta=0.2, num_shards=3), bucket, tmp_path, overwrite=True)
    assert manifest == generate(small(delta=0.2, num_shards=3), tmp_path / "folder", workers=1)
    now = contents(direct)
    assert now.pop("notes.txt") == b"mine"
    equal_but_for_markers(now, files(tmp_path / "folder"))


def test_a_foreign_prefix_is_refused(small, bucket, direct, tmp_path):
    direct.write("photo.jpg", b"x")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match=r"not empty and not a dataset .*photo.jpg"):
            make(small(), bucket, tmp_path, overwrite=overwrite)
    assert contents(direct) == {"photo.jpg": b"x"}


def test_a_run_whose_place_was_taken_stops(small, bucket, direct, tmp_path):
    """What a service without conditional requests may let happen."""
    folder = lock_dataset(bucket, small(), tmp_dir=tmp_path / "tmp")
    direct.write("__meta__/recipe.json", small(delta=0.2).lock_bytes())
    with pytest.raises(UsageError, match="belongs to another recipe"):
        folder.fetch()
    with pytest.raises(UsageError, match="belongs to another recipe"):
        finalize(folder)


@pytest.mark.parametrize("workers", [1, 2])
def test_searched_categories_reach_every_machine(bucket, direct, tmp_path, workers):
    settings = {"num_categories": 6, "num_instances": 2, "num_shards": 3, "image_size": 64}
    settings |= {"num_points": 2000, "search_points": 3000, "search_size": 64, "filling_rate": 0.1}
    recipe = load_recipe("fractaldb-1k", **settings)
    manifest = make(recipe, bucket, tmp_path, workers=workers)
    assert manifest == generate(recipe, tmp_path / "folder", workers=1)
    equal_but_for_markers(contents(direct), files(tmp_path / "folder"))
    elsewhere = lock_dataset(bucket, recipe, tmp_dir=tmp_path / "another machine")
    elsewhere.fetch()
    name = "block-000000.npz"
    assert (elsewhere.categories / name).read_bytes() == direct.read(f"__meta__/categories/{name}")


def test_the_picture_reaches_every_machine(bucket, direct, tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (80, 80, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / "picture.png")
    settings = {"num_categories": 6, "num_shards": 3, "image_size": 32}
    given = load_recipe("real-1", source=str(tmp_path / "picture.png"), **settings)
    local = generate(given, tmp_path / "folder", workers=1)
    assert make(given, bucket, tmp_path, workers=2) == local
    (tmp_path / "picture.png").unlink()
    direct.delete("real-1-train-000001.tar")
    again = load_recipe("real-1", **settings)
    assert make(again, bucket, tmp_path, tmp_dir=tmp_path / "another machine") == local
    equal_but_for_markers(contents(direct), files(tmp_path / "folder"))


def test_workers_get_no_secret(small, bucket, tmp_path):
    folder = lock_dataset(bucket, small(), tmp_dir=tmp_path / "tmp")
    folder.fetch()
    assert SECRET.encode() not in pickle.dumps(folder)
    assert pickle.loads(pickle.dumps(folder)) == folder


def test_status_of_a_prefix(small, bucket, direct, tmp_path):
    with pytest.raises(UsageError, match="is not a dataset of fdsl-gen"):
        open_for_writing(bucket)
    make(small(), bucket, tmp_path)
    folder = open_for_writing(bucket.url, bucket.options)
    assert folder.missing() == []
    assert folder.is_complete()
    direct.write(TAR, b"cut")
    direct.delete("fractal-1-train-000005.tar")
    direct.delete("__meta__/markers/fractal-1-train-000006.json")
    assert [shard.index for shard in folder.missing()] == [3, 5, 6]
    assert folder.entry(folder.missing()[0]) is None


def test_failures_on_the_way_change_nothing(small, finished, bucket, proxy, direct, tmp_path):
    def rule(method, path, before):
        if path.endswith(".tar") and method == "PUT" and not before:
            return BUSY
        return CUT if method == "GET" and path.endswith("recipe.json") and not before else PASS

    proxy.rule = rule
    make(small(), bucket, tmp_path, workers=2)
    equal_but_for_markers(contents(direct), finished)
    assert proxy.count("PUT", ".tar") == 16


def test_storage_that_falls_silent_leaves_no_manifest(
    small, finished, bucket, proxy, direct, tmp_path
):
    proxy.rule = lambda method, path, before: SILENT if path.endswith(TAR) else PASS
    bucket = replace(bucket, options=replace(bucket.options, timeout=0.3, retries=1))
    # Nothing else is rendered in vain: the shards after it are not begun.
    with pytest.raises(ShardsFailed, match=rf"5 shards .* \({TAR}, .* not answer .* not started"):
        make(small(), bucket, tmp_path)
    there = contents(direct)
    assert "manifest.json" not in there
    assert TAR not in there
    assert not list((tmp_path / "tmp").rglob("*.tmp"))
    proxy.rule = lambda method, path, before: PASS
    make(small(), bucket, tmp_path)
    equal_but_for_markers(contents(direct), finished)


def test_killed_and_resumed_with_one_shard_a_worker_on_the_disk(
    finished, bucket, proxy, direct, tmp_path
):
    """Killed while a shard is on its way: it is not there, and nothing else is lost."""
    most = 0

    def rule(method, path, before):
        nonlocal most
        if method == "PUT" and path.endswith(".tar"):
            most = max(most, len(list((tmp_path / "tmp").rglob("*.tmp"))))
            return SILENT if path.endswith(TAR) and process is not None else PASS
        return PASS

    proxy.rule = rule
    command = [sys.executable, "-m", "fdsl_gen.cli", "fractal-1", f"--out={bucket.url}"]
    command += [f"--endpoint-url={proxy.url}", f"--tmp-dir={tmp_path / 'tmp'}", "--workers=1"]
    command += options(SMALL)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 240
    while not proxy.count("PUT", TAR):
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    there = contents(direct)
    assert TAR not in there
    assert "manifest.json" not in there
    assert sum(name.endswith(".tar") for name in there) == 3
    assert len(list((tmp_path / "tmp").rglob("*.tmp"))) == 1
    process = None
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert "15 img were done before, 25 are left" in done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert most == 1
    equal_but_for_markers(contents(direct), finished)
    assert list((tmp_path / "tmp").iterdir()) == []
