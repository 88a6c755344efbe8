"""Dask: the same bytes as without it, whatever happens to workers."""

import json
import os
import re
import signal
import time

import distributed

from fdsl_gen import generate, load_recipe
from fdsl_gen.executors import NOT_STARTED, Failure, Silent
from tests.conftest import SMALL, fdsl_gen, options
from tests.fdsl_gen.build.test_safety import everything, tars, wait_for
from tests.fdsl_gen.executors.standing import DEATHS, MEDIUM, executor, start
from tests.fdsl_gen.executors.tasks import divide, fill_the_disk
from tests.fdsl_gen.executors.test_arrays import SEARCHED


def test_a_killed_worker_costs_nothing(standing, tmp_path):
    """And all ways to render give the same: a pool, a cluster, a loop, tasks of an array."""
    expected = generate(load_recipe("fractal-1", **MEDIUM), tmp_path / "local", workers=2)
    out = tmp_path / "dask"
    process = start(out, f"--scheduler-file={standing.file}")
    marker = wait_for(lambda: sorted(out.glob("__meta__/markers/*.json")))[0]
    time.sleep(0.1)  # its worker has been given the next shard by now
    os.kill(json.loads(marker.read_text())["run"]["pid"], signal.SIGKILL)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert re.search(r"the worker tcp://127.0.0.1:\d+ is gone; its shard goes to another", errors)
    assert "Traceback" not in errors
    assert tars(out) == tars(tmp_path / "local")
    assert (out / "manifest.json").read_bytes() == expected.to_json()
    assert everything(out) == everything(tmp_path / "local")
    hosts = {json.loads(m.read_text())["run"]["pid"] for m in out.glob("__meta__/markers/*.json")}
    assert process.pid not in hosts

    alone = generate(load_recipe("fractal-1", **MEDIUM), tmp_path / "serial", workers=1)
    assert alone == expected
    assert tars(tmp_path / "serial") == tars(out)
    array = tmp_path / "array"
    for task in (3, 0, 4, 1, 2, 0):  # task 0 twice
        array_task = start(array, f"--task-index={task}", "--num-tasks=5", "--workers=1")
        _, errors = array_task.communicate(timeout=240)
        assert array_task.returncode == 0, errors
    assert not (array / "manifest.json").exists()
    assert fdsl_gen("finalize", str(array), cwd=tmp_path).returncode == 0
    assert (array / "manifest.json").read_bytes() == expected.to_json()
    assert tars(array) == tars(out)


def test_a_shard_that_kills_workers_is_listed(standing, tmp_path):
    command = ("fractal-1", "--out=set", f"--scheduler={standing.address}", *options(SMALL))
    standing.flag.touch()
    try:
        done = fdsl_gen(*command, cwd=tmp_path)
    finally:
        standing.flag.unlink()
    assert done.returncode == 3, done.stderr
    assert (
        "1 shards were not written (fractal-1-train-000003.tar):"
        f" its worker died, {DEATHS} times; to retry these alone: fdsl-gen fractal-1 --out=set"
    ) in done.stderr
    assert "Traceback" not in done.stderr
    assert len(tars(tmp_path / "set")) == 7
    assert fdsl_gen(*command, cwd=tmp_path).returncode == 0


def test_categories_are_searched_by_the_cluster(standing, tmp_path):
    settings = options(SEARCHED | {"num_categories": 250})
    command = ("categories", "fractaldb-1k", *settings)
    for out, how in (("a", "--executor=serial"), ("b", f"--scheduler={standing.address}")):
        done = fdsl_gen(*command, f"--out={out}", how, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    blocks = [sorted((tmp_path / out).glob("__meta__/categories/block-*")) for out in "ab"]
    assert [len(found) for found in blocks] == [3, 3]
    for one, other in zip(*blocks, strict=True):
        assert one.read_bytes() == other.read_bytes()
    done = fdsl_gen(*command, f"--scheduler={standing.address}", cwd=tmp_path)
    assert done.returncode == 2
    assert "--out DIR" in done.stderr


def test_no_more_tasks_are_sent_than_there_are_threads(standing, monkeypatch):
    begun = []
    submit = distributed.Client.submit

    def counted(client, *args, **kwargs):
        begun.append(sum(not f.done for f in client.futures.values()))
        return submit(client, *args, **kwargs)

    monkeypatch.setattr(distributed.Client, "submit", counted)
    assert executor(standing).run(divide, list(range(1, 31)), Silent()) == []
    assert len(begun) == 30
    assert max(begun) <= 2


def test_a_hopeless_failure_ends_the_run(standing):
    failures = executor(standing).run(fill_the_disk, list(range(20)), Silent())
    assert Failure(0, "cannot write: disk full") in failures
    assert {f.task for f in failures} == set(range(20))
    assert sum(f.reason == NOT_STARTED for f in failures) >= 16
