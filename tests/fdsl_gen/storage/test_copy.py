"""Copies of datasets are complete or have no manifest; nothing is sent twice."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from hashlib import sha256

import pytest

from fdsl_gen import generate
from fdsl_gen.core.errors import Mismatch, ShardsFailed, StorageError, UsageError
from fdsl_gen.dataset import verify
from fdsl_gen.dataset.copy import download, upload
from fdsl_gen.executors import Silent
from tests.conftest import fdsl_gen
from tests.fdsl_gen.storage.emulators import SECRET
from tests.fdsl_gen.storage.proxy import BUSY, CUT, FORBIDDEN, PASS, RESET, SILENT, SLOW
from tests.fdsl_gen.storage.test_generate import TAR, contents, files

WATCH = Silent()


def up(folder, bucket, jobs=4):
    return upload(folder, bucket, jobs=jobs, watch=WATCH)


def down(bucket, folder, jobs=4):
    return download(bucket, folder, jobs=jobs, watch=WATCH)


def test_there_and_back(small_folder, bucket, proxy, direct, tmp_path):
    sent = up(small_folder, bucket)
    everything = files(small_folder)
    assert contents(direct) == everything
    assert (sent.files, sent.skipped) == (len(everything) - 1, 0)  # the recipe claims the place
    puts = [path for method, path in proxy.heard if method == "PUT"]
    assert puts[0].endswith("__meta__/recipe.json")
    assert puts[-1].endswith("/sets/one/manifest.json")
    for name, data in everything.items():
        assert direct.stat(name) == (len(data), sha256(data).hexdigest())
    got = down(bucket, tmp_path / "back")
    assert files(tmp_path / "back") == everything
    assert (got.files, got.bytes) == (sent.files, sent.bytes)
    assert verify.check_files(tmp_path / "back", lambda entry: None) == []


def test_what_is_there_is_not_moved_again(small_folder, bucket, proxy, direct, tmp_path):
    up(small_folder, bucket)
    down(bucket, tmp_path / "back")
    proxy.heard.clear()
    sent = up(small_folder, bucket)
    assert proxy.count("PUT") == 0
    assert (sent.files, sent.bytes) == (0, 0)
    got = down(bucket, tmp_path / "back")
    assert proxy.count("GET", ".tar") == 0
    assert (got.files, got.skipped) == (0, sent.skipped)
    direct.write(TAR, b"damaged")
    proxy.heard.clear()
    up(small_folder, bucket)
    assert proxy.count("PUT") == proxy.count("PUT", TAR) == 1


@pytest.mark.parametrize("fault", [BUSY, RESET, SLOW])
def test_uploads_survive_faults(small_folder, bucket, proxy, direct, fault):
    def rule(method, path, before):
        return fault if method == "PUT" and not before and "_meta_" not in path else PASS

    proxy.rule = rule
    up(small_folder, bucket, jobs=8)
    assert contents(direct) == files(small_folder)


@pytest.mark.parametrize("fault", [BUSY, RESET, CUT, SLOW])
def test_downloads_survive_faults(small_folder, bucket, proxy, direct, tmp_path, fault):
    up(small_folder, direct)

    def rule(method, path, before):
        return fault if method == "GET" and not before and "_meta_" not in path else PASS

    proxy.rule = rule
    down(bucket, tmp_path / "back", jobs=8)
    assert files(tmp_path / "back") == files(small_folder)


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        (SILENT, StorageError, "does not answer"),
        (BUSY, StorageError, r"failed 2 times \(503"),
        (FORBIDDEN, UsageError, "was refused"),
    ],
)
def test_a_lasting_fault_leaves_no_manifest(
    small_folder, hasty, proxy, direct, tmp_path, fault, error, words
):
    proxy.rule = lambda method, path, before: fault if path.endswith(TAR) else PASS
    with pytest.raises(error, match=words):
        up(small_folder, hasty)
    assert "manifest.json" not in contents(direct)
    up(small_folder, direct)
    with pytest.raises(error, match=words):
        down(hasty, tmp_path / "back")
    assert not (tmp_path / "back/manifest.json").exists()
    assert not (tmp_path / "back" / TAR).exists()
    proxy.rule = lambda method, path, before: PASS
    down(hasty, tmp_path / "back")
    assert files(tmp_path / "back") == files(small_folder)


def start(*command):
    command = [sys.executable, "-m", "fdsl_gen.cli", *map(str, command)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def kill_when(condition, process):
    end = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def test_an_upload_that_was_killed_goes_on(small_folder, bucket, proxy, direct):
    proxy.rule = lambda method, path, before: SILENT if path.endswith(TAR) else PASS
    command = ["upload", small_folder, bucket.url, "--endpoint-url", proxy.url, "--jobs", 1]
    process = start(*command)
    kill_when(lambda: proxy.count("PUT", TAR), process)
    there = contents(direct)
    tars = {name for name in there if name.endswith(".tar")}
    assert len(tars) == 3
    assert "manifest.json" not in there
    proxy.rule = lambda method, path, before: PASS
    proxy.heard.clear()
    done = fdsl_gen(*command)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{bucket.url} is complete: 26 files, 0.1 MB sent, 3 were there\n"
    assert SECRET not in done.stdout + done.stderr
    assert proxy.count("PUT", ".tar") == 5
    assert contents(direct) == files(small_folder)


def test_a_download_that_was_killed_goes_on(small_folder, bucket, proxy, direct, tmp_path):
    """Killed in the middle of a shard: its first half is not fetched again."""
    up(small_folder, direct)
    back = tmp_path / "back"

    def rule(method, path, before):
        if path.endswith(TAR) and method == "GET":
            return SILENT if before else CUT
        return PASS

    proxy.rule = rule
    command = ["download", bucket.url, back, "--endpoint-url", proxy.url, "--jobs", 1]
    kill_when(lambda: proxy.count("GET", TAR) == 2, process := start(*command))
    assert process.returncode == -signal.SIGKILL
    (part,) = back.glob(".*.part")
    half = part.stat().st_size
    assert not (back / TAR).exists()
    assert not (back / "manifest.json").exists()
    proxy.rule = lambda method, path, before: PASS
    done = fdsl_gen(*command)
    assert done.returncode == 0, done.stderr
    continued = [h["Range"] for h in proxy.headers if "Range" in h]
    assert continued[-1] == f"bytes={half}-"
    assert files(back) == files(small_folder)


def test_two_datasets_are_not_mixed(small, small_folder, bucket, direct, tmp_path):
    other = tmp_path / "other"
    generate(small(delta=0.2), other, workers=1)
    up(small_folder, bucket)
    before = contents(direct)
    with pytest.raises(UsageError, match=r"belongs to another recipe \(different: variant.delta\)"):
        up(other, bucket)
    with pytest.raises(UsageError, match=r"belongs to another recipe \(different: variant.delta\)"):
        down(bucket, other)
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign/photo.jpg").touch()
    with pytest.raises(UsageError, match=r"not empty and not a dataset folder .*photo.jpg"):
        down(bucket, tmp_path / "foreign")
    manifest = json.loads(direct.read("manifest.json"))
    manifest["splits"]["train"]["shards"][0]["sha256"] = "0" * 64
    direct.write("manifest.json", json.dumps(manifest).encode())
    with pytest.raises(UsageError, match="holds a finished copy of this dataset whose files diff"):
        up(small_folder, bucket)
    assert contents(direct).keys() == before.keys()


def test_only_finished_and_whole_datasets_are_sent(small_folder, bucket, direct, tmp_path):
    folder = shutil.copytree(small_folder, tmp_path / "folder")
    data = bytearray((folder / TAR).read_bytes())
    data[700] ^= 4
    (folder / TAR).write_bytes(data)
    with pytest.raises(Mismatch, match=f"{TAR} is not what the manifest says"):
        up(folder, bucket)
    assert TAR not in contents(direct)
    (folder / TAR).unlink()
    with pytest.raises(Mismatch, match=f"{TAR} is missing"):
        up(folder, bucket)
    (folder / "manifest.json").unlink()
    with pytest.raises(UsageError, match="is not finished"):
        up(folder, bucket)
    with pytest.raises(UsageError, match="is not finished: run its fdsl-gen command again"):
        down(bucket, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_strange_file_under_a_final_name_is_not_touched(small_folder, bucket, tmp_path):
    up(small_folder, bucket)
    down(bucket, tmp_path / "back")
    (tmp_path / "back" / TAR).write_bytes(b"mine")
    with pytest.raises(Mismatch, match=f"{TAR} is not what the manifest says"):
        down(bucket, tmp_path / "back")
    assert (tmp_path / "back" / TAR).read_bytes() == b"mine"


def test_a_manifest_that_names_other_files_is_refused(small_folder, bucket, direct, tmp_path):
    up(small_folder, bucket)
    manifest = json.loads(direct.read("manifest.json"))
    manifest["splits"]["train"]["shards"][0]["file"] = "../../elsewhere.tar"
    direct.write("manifest.json", json.dumps(manifest).encode())
    with pytest.raises(UsageError, match="which is not the name of a shard"):
        down(bucket, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_full_disk_is_said_before_the_start(small_folder, bucket, tmp_path, monkeypatch):
    up(small_folder, bucket)
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ShardsFailed, match=r"not enough space in .*: [\d.]+ GB are needed"):
        down(bucket, tmp_path / "back")


def test_verify_finds_damage_where_it_is(small_folder, bucket, direct):
    up(small_folder, bucket)
    seen = []
    assert verify.check_files(bucket, seen.append) == []
    assert sum(entry.samples for entry in seen) == 40
    data = bytearray(direct.read(TAR))
    data[700] ^= 4
    direct.write(TAR, bytes(data))
    direct.write("fractal-1-train-000004.tar", b"cut")
    direct.delete("fractal-1-train-000005.tar")
    direct.write("__meta__/index/fractal-1-train-000006.npy", b"nonsense")
    direct.delete("__meta__/index/fractal-1-train-000007.npy")
    problems = verify.check_files(bucket, seen.append)
    assert len(problems) == 4
    for name, words in {
        TAR: "is damaged: its sha256",
        "000004.tar": "has 3 bytes instead of",
        "000005.tar": "is missing",
        "the index of fractal-1-train-000006.tar": "is damaged",
    }.items():
        assert any(name in problem and words in problem for problem in problems)
