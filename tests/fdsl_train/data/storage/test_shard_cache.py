"""The cache of a node: whole shards, within its bounds, shared by processes."""

import multiprocessing
import os
import pickle
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest

from fdsl_gen.archive.tar import scan_index
from fdsl_gen.core.errors import Mismatch, StorageError, UsageError
from fdsl_gen.storage import local
from fdsl_gen.storage.download import part_of
from fdsl_gen.storage.manifest import read_manifest
from fdsl_train.data.locate.cache import ShardCache
from fdsl_train.data.locate.dataset import DatasetLocation
from tests.fdsl_gen.storage.emulators import SECRET
from tests.fdsl_gen.storage.proxy import CUT, FORBIDDEN, PASS, SILENT, SLOW

BIG = 1 << 30


@pytest.fixture
def entries(small_folder, direct):
    """The shards of a dataset that is in the bucket, with their indexes."""
    manifest = read_manifest(small_folder)
    direct.write("manifest.json", manifest.to_json())
    shards = manifest.splits["train"].shards
    for entry in shards:
        direct.upload(entry.file, small_folder / entry.file, entry.sha256)
        index = f"__meta__/index/{entry.file.removesuffix('.tar')}.npy"
        direct.write(index, (small_folder / index).read_bytes())
    return shards


def wait_for(condition):
    end = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def held(folder) -> int:
    return sum(p.stat().st_size for p in folder.glob("*.tar"))


def test_the_manifest(entries, bucket, small_folder):
    found = DatasetLocation(data=bucket.url, storage=bucket.options).manifest()
    assert found == read_manifest(small_folder)
    with pytest.raises(UsageError, match="there is no dataset there"):
        DatasetLocation(data="s3://" + bucket.bucket, storage=bucket.options).manifest()


def test_a_shard_is_brought_once_with_its_index(entries, bucket, proxy, tmp_path):
    cache = ShardCache(bucket, entries, tmp_path, BIG)
    path = cache.locate(3)
    assert local.file_sha256(path) == entries[3].sha256
    index = np.load(path.parent / "__meta__/index" / f"{path.stem}.npy")
    assert np.array_equal(index, scan_index(path, ("png", "cls")))
    assert cache.locate(3) == path
    assert ShardCache(bucket, entries, tmp_path, BIG).locate(3) == path
    assert proxy.count("GET", ".tar") == 1
    assert not list(tmp_path.glob(".*.part"))


def test_a_shard_without_an_index_is_brought_alone(entries, bucket, direct, tmp_path):
    direct.delete(f"__meta__/index/{entries[0].file.removesuffix('.tar')}.npy")
    path = ShardCache(bucket, entries, tmp_path, BIG).locate(0)
    assert local.file_sha256(path) == entries[0].sha256
    assert list((tmp_path / "__meta__/index").iterdir()) == []


@pytest.mark.parametrize("damage", ["a flipped bit", "cut short"])
def test_a_damaged_shard_is_fetched_again(entries, bucket, proxy, tmp_path, damage):
    path = ShardCache(bucket, entries, tmp_path, BIG).locate(3)
    data = bytearray(path.read_bytes())
    data[700] ^= 4
    path.write_bytes(data if damage == "a flipped bit" else data[:-512])
    cache = ShardCache(bucket, entries, tmp_path, BIG)
    assert local.file_sha256(cache.locate(3)) == entries[3].sha256
    assert cache.locate(3) == path
    assert proxy.count("GET", ".tar") == 2


def test_a_shard_is_checked_once_by_a_process(entries, bucket, tmp_path, monkeypatch):
    hashed = []
    monkeypatch.setattr(
        local,
        "file_sha256",
        lambda path, real=local.file_sha256: (hashed.append(path), real(path))[1],
    )
    cache = ShardCache(bucket, entries, tmp_path, BIG)
    cache.locate(3)
    cache.locate(3)
    assert hashed == []  # it came through this process
    other = ShardCache(bucket, entries, tmp_path, BIG)
    other.locate(3)
    other.locate(3)
    assert [path.suffix for path in hashed] == [".tar", ".npy"]


@pytest.mark.parametrize("damage", ["a flipped bit", "cut short", "no sha256"])
def test_a_damaged_index_is_fetched_again(entries, bucket, proxy, tmp_path, damage):
    path = ShardCache(bucket, entries, tmp_path, BIG).locate(3)
    index = tmp_path / "__meta__/index" / f"{path.stem}.npy"
    good = index.read_bytes()
    if damage == "no sha256":
        index.with_suffix(".sha256").unlink()
    else:  # the size of a label: an index that could be one
        data = bytearray(good)
        data[-8] ^= 1
        index.write_bytes(data if damage == "a flipped bit" else data[:-8])
    cache = ShardCache(bucket, entries, tmp_path, BIG)
    assert cache.locate(3) == path
    assert index.read_bytes() == good
    assert (proxy.count("GET", ".tar"), proxy.count("GET", ".npy")) == (1, 2)
    assert cache.locate(3) == path
    assert proxy.count("GET", ".npy") == 2


def test_a_lost_index_is_made_from_the_shard(entries, bucket, proxy, tmp_path):
    path = ShardCache(bucket, entries, tmp_path, BIG).locate(3)
    (tmp_path / "__meta__/index" / f"{path.stem}.npy").unlink()
    assert ShardCache(bucket, entries, tmp_path, BIG).locate(3) == path
    assert proxy.count("GET", ".npy") == 1


def test_indexes_are_read_without_their_shards(entries, bucket, direct, proxy, tmp_path):
    direct.delete(f"__meta__/index/{entries[2].file.removesuffix('.tar')}.npy")
    found = ShardCache(bucket, entries, tmp_path, BIG).read_indexes()
    assert [data is None for data in found] == [shard == 2 for shard in range(8)]
    assert proxy.count("GET", ".tar") == 0


def test_a_cut_download_goes_on(entries, bucket, proxy, tmp_path):
    proxy.rule = lambda method, path, before: CUT if ".tar" in path and before < 2 else PASS
    cache = ShardCache(bucket, entries, tmp_path, BIG)
    assert local.file_sha256(cache.locate(0)) == entries[0].sha256
    assert any(h.get("Range", "").startswith("bytes=") for h in proxy.headers)


def test_what_another_process_left_is_continued(entries, bucket, proxy, small_folder, tmp_path):
    cache = ShardCache(bucket, entries, tmp_path, BIG)
    final = cache._path(2)
    half = (small_folder / entries[2].file).read_bytes()[: entries[2].bytes // 2]
    part_of(final, entries[2].bytes).write_bytes(half)
    assert local.file_sha256(cache.locate(2)) == entries[2].sha256
    assert proxy.headers[-1]["Range"] == f"bytes={len(half)}-"


def test_the_cache_stays_within_its_bounds(entries, bucket, proxy, tmp_path):
    room = 3 * max(entry.bytes for entry in entries)
    cache = ShardCache(bucket, entries, tmp_path, room, keep_seconds=0.0)
    for shard in [0, 1, 0, 2, 0, 3, 0, 4, 5, 6, 7]:
        path = cache.locate(shard)
        assert local.file_sha256(path) == entries[shard].sha256
        assert held(tmp_path) <= room
        names = {p.stem for p in tmp_path.glob("*.tar")}
        assert {p.stem for p in (tmp_path / "__meta__/index").iterdir()} == names
    wanted = [path.rpartition("/")[2] for method, path in proxy.heard if path.endswith(".tar")]
    assert wanted.count(entries[0].file) == 1, "what is located again and again stays"


def test_what_is_open_stays_readable(entries, bucket, tmp_path):
    cache = ShardCache(bucket, entries, tmp_path, max(e.bytes for e in entries), keep_seconds=0.0)
    with cache.locate(0).open("rb") as file:
        gone = cache._path(0)
        cache.locate(1)
        assert not gone.exists()
        assert len(file.read()) == entries[0].bytes


def test_what_was_just_located_is_kept(entries, bucket, tmp_path):
    largest = max(entry.bytes for entry in entries)
    cache = ShardCache(bucket, entries, tmp_path, largest, keep_seconds=0.6)
    began = time.monotonic()
    first = cache.locate(0)
    cache.locate(1)
    assert time.monotonic() - began > 0.55
    assert not first.exists()


def test_the_part_of_a_dead_process_gives_way(entries, bucket, tmp_path):
    largest = max(entry.bytes for entry in entries)
    cache = ShardCache(bucket, entries, tmp_path, largest, keep_seconds=0.0)
    part = part_of(cache._path(5), entries[5].bytes)
    part.write_bytes(b"half")
    cache.locate(1)
    assert not part.exists()


@pytest.mark.parametrize("kind", ["whole", "part"])
def test_files_of_the_future_give_way(entries, bucket, tmp_path, kind):
    """A clock that was ahead and has been put right: nothing waits for it to come round again."""
    largest = max(e.bytes for e in entries)
    cache = ShardCache(bucket, entries, tmp_path, largest, keep_seconds=60.0)
    old = cache.locate(0)
    if kind == "part":
        old = old.rename(part_of(old, largest))
    os.utime(old, (time.time() + 86_400,) * 2)
    began = time.monotonic()
    assert cache.locate(1).exists()
    assert time.monotonic() - began < 40
    assert not old.exists()


def test_the_wait_for_room_has_a_limit(entries, bucket, tmp_path, monkeypatch):
    monkeypatch.setattr("fdsl_train.data.locate.cache._ROOM_SECONDS", 0.3)
    largest = max(e.bytes for e in entries)
    cache = ShardCache(bucket, entries, tmp_path, largest, keep_seconds=60.0)
    cache.locate(0)
    with pytest.raises(UsageError, match=r"no room in the cache .* are in use; raise --cache-gb"):
        cache.locate(1)


def _read_all(cache, order, results, environment):
    os.environ.update(environment)  # a server of processes may be older than the bucket's keys
    for shard in order:
        path = cache.locate(shard)
        with path.open("rb") as file:
            results.put((os.getpid(), shard, len(file.read()), held(path.parent)))


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_processes_share_it(entries, bucket, proxy, tmp_path, method):
    """Four processes, a cache for half of the set: bounds hold, nothing is read in part."""
    room = sum(entry.bytes for entry in entries) // 2 + max(entry.bytes for entry in entries)
    # Long enough for a busy machine to open what it has located.
    cache = ShardCache(bucket, entries, tmp_path, room, keep_seconds=2.0)
    cache.locate(0)
    context = multiprocessing.get_context(method)
    results = context.Queue()
    processes = []
    for number in range(4):
        order = [(shard + number) % 8 for shard in range(8)]
        processes.append(
            context.Process(target=_read_all, args=(cache, order, results, dict(os.environ)))
        )
        processes[-1].start()
    found = [results.get(timeout=240) for _ in range(32)]
    for process in processes:
        process.join(240)
        assert process.exitcode == 0
    assert len({pid for pid, *_ in found}) == 4
    assert all(size == entries[shard].bytes for _, shard, size, _ in found)
    assert max(total for *_, total in found) <= room
    assert not list(tmp_path.glob(".*.part"))


def test_the_same_shard_is_fetched_by_one_of_them(entries, bucket, proxy, tmp_path):
    proxy.rule = lambda method, path, before: SLOW
    cache = ShardCache(bucket, entries, tmp_path, BIG)
    context = multiprocessing.get_context("forkserver")
    results = context.Queue()
    processes = [
        context.Process(target=_read_all, args=(cache, [4], results, dict(os.environ)))
        for _ in range(4)
    ]
    for process in processes:
        process.start()
    assert {results.get(timeout=240)[2] for _ in processes} == {entries[4].bytes}
    for process in processes:
        process.join(240)
    assert proxy.count("GET", entries[4].file) == 1


def test_shards_are_fetched_ahead(entries, bucket, proxy, tmp_path):
    cache = ShardCache(bucket, entries, tmp_path, BIG)
    cache.prefetch([1, 2, 3])
    cache.prefetch([3, 2])
    wait_for(lambda: len(list(tmp_path.glob("*.tar"))) == 3)
    before = proxy.count("GET", ".tar")
    for shard in (1, 2, 3):
        assert local.file_sha256(cache.locate(shard)) == entries[shard].sha256
    assert proxy.count("GET", ".tar") == before == 3


def test_what_is_on_its_way_is_waited_for(entries, bucket, proxy, tmp_path):
    for turn in range(16):
        cache = ShardCache(bucket, entries, tmp_path / str(turn), BIG)
        cache.prefetch([turn % 8])
        path = cache.locate(turn % 8)
        assert path.stat().st_size == entries[turn % 8].bytes
    assert proxy.count("GET", ".tar") == 16


def test_no_more_than_half_the_cache_is_fetched_ahead(entries, bucket, tmp_path):
    room = 4 * max(entry.bytes for entry in entries)
    cache = ShardCache(bucket, entries, tmp_path, room, keep_seconds=0.0)
    cache.prefetch(range(8))
    fitting = np.searchsorted(np.cumsum([e.bytes for e in entries]), room // 2, side="right")
    wait_for(lambda: len(list(tmp_path.glob("*.tar"))) == fitting)
    time.sleep(0.1)
    assert held(tmp_path) <= room // 2


def test_a_failure_ahead_is_told_when_the_shard_is_wanted(entries, bucket, direct, proxy, tmp_path):
    direct.delete(entries[1].file)
    cache = ShardCache(bucket, entries, tmp_path, BIG)
    cache.prefetch([1, 2])
    assert cache.locate(2).exists()
    with pytest.raises(UsageError, match=f"{entries[1].file} is missing; run its fdsl-gen"):
        cache.locate(1)


def test_what_cannot_be_had_is_one_sentence(entries, bucket, direct, proxy, tmp_path):
    cache = ShardCache(bucket, entries, tmp_path, BIG)
    direct.write(entries[0].file, b"short")
    with pytest.raises(Mismatch, match=r"has 5 bytes instead of [\d,]+"):
        cache.locate(0)
    direct.write(entries[1].file, bytes(entries[1].bytes))
    with pytest.raises(Mismatch, match="is damaged: its sha256 is not the one expected"):
        cache.locate(1)
    proxy.rule = lambda method, path, before: FORBIDDEN
    with pytest.raises(UsageError, match="was refused") as refused:
        cache.locate(2)
    assert SECRET not in str(refused.value)
    hasty = replace(bucket, options=replace(bucket.options, timeout=0.2, retries=0))
    proxy.rule = lambda method, path, before: SILENT
    with pytest.raises(StorageError, match="does not answer"):
        ShardCache(hasty, entries, tmp_path, BIG).locate(3)
    assert not list(tmp_path.glob("*.tar"))
    with pytest.raises(UsageError, match="cannot hold a shard of"):
        ShardCache(bucket, entries, tmp_path, 100)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot write into the cache"):
        ShardCache(bucket, entries, tmp_path / "file", BIG)
    gone = ShardCache(bucket, entries, tmp_path / "gone", BIG)
    shutil.rmtree(tmp_path / "gone")
    with pytest.raises(UsageError, match="cannot write into the cache"):
        gone.locate(0)


def test_it_travels_without_secrets_and_threads(entries, bucket, tmp_path):
    cache = ShardCache(bucket, entries, tmp_path, BIG)
    cache.prefetch([0])
    pickled = pickle.dumps(cache)
    assert SECRET.encode() not in pickled
    assert pickle.loads(pickled).locate(0) == cache.locate(0)
