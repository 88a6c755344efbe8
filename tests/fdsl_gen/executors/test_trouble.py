"""Executors and their ends: every way to go wrong is one sentence, every signal a clean folder."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections import deque
from functools import partial
from pathlib import Path

import distributed
import pytest

from fdsl_gen.build.generate import generate_shard
from fdsl_gen.core.errors import UsageError
from fdsl_gen.dataset.store import DatasetStore
from fdsl_gen.dataset.work_folder import InPlace
from fdsl_gen.executors import Failure, Silent
from fdsl_gen.executors.choice import executor_named
from fdsl_gen.recipe.order import shards_of
from fdsl_gen.storage.local import LocalStore
from tests.conftest import SMALL, fdsl_gen, options
from tests.fdsl_gen.build.test_safety import tars, wait_for
from tests.fdsl_gen.executors.standing import MEDIUM, Standing, executor, start
from tests.fdsl_gen.executors.tasks import CannotBeReceived, divide, refuse_to_work


def group(number):
    """Processes of a process group."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[2]) == number and fields[0] != "Z":
                found.append(entry.name)
    return found


@pytest.mark.parametrize(
    ("own", "sent", "code", "words"),
    [
        (True, signal.SIGINT, 130, "interrupted"),
        (True, signal.SIGUSR1, 75, "stopped by SIGUSR1"),
        (False, signal.SIGTERM, 75, "stopped by SIGTERM"),
    ],
)
def test_signals(standing, tmp_path, own, sent, code, words):
    """Sent to the whole group, as a terminal or a scheduler does."""
    out = tmp_path / "out"
    where = ("--executor=dask", "--workers=2") if own else (f"--scheduler={standing.address}",)
    process = start(out, *where, start_new_session=True)
    wait_for(lambda: len(list(out.glob("*.tar"))) >= 2)
    os.killpg(process.pid, sent)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == code, errors
    assert words in errors
    assert "Traceback" not in errors
    wait_for(lambda: not group(process.pid), 60)
    with distributed.Client(standing.address, set_as_default=False) as client:
        wait_for(lambda: not any(client.processing().values()))
    finished = tars(out)
    assert 2 <= len(finished) < MEDIUM["num_shards"]
    assert not list(out.rglob(".*.tmp"))
    assert not (out / "manifest.json").exists()


def test_a_worker_that_does_not_see_the_folder_is_told(standing, small, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    folder = DatasetStore(LocalStore(elsewhere), InPlace(elsewhere), small())
    with pytest.raises(UsageError, match=r"does not see \S+elsewhere; give a folder that all"):
        executor(standing).run(partial(generate_shard, folder), shards_of(small()), Silent())
    assert not elsewhere.exists()


def test_a_tasks_exception_and_refusal(standing):
    failures = executor(standing).run(divide, [1, 0, 2], Silent())
    assert [(f.task, f.reason.split(",")[0]) for f in failures] == [
        (0, "ZeroDivisionError in divide")
    ]
    with pytest.raises(UsageError, match=r"^the folder is not here$"):
        executor(standing).run(refuse_to_work, [1, 2, 3], Silent())
    with pytest.raises(UsageError, match=r"cannot run tasks of fdsl-gen \(.*\); install fdsl"):
        executor(standing).run(CannotBeReceived(), [1, 2], Silent())


CLIENT = """
import sys
import fdsl_gen, distributed.versions
{change}
sys.argv[0] = "fdsl-gen"
from fdsl_gen.cli.main import main
main()
"""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            "fdsl_gen.__version__ = '0.0.1'",
            r"the worker on \S+ runs fdsl [\d.]+ and this command 0.0.1; install the same",
        ),
        (
            "distributed.versions.version = lambda package: '0.0.1'",
            r"the Dask scheduler at tcp://\S+ runs Dask [\d.]+ and this command 0.0.1;",
        ),
    ],
)
def test_other_versions_are_refused(standing, tmp_path, change, words):
    command = [sys.executable, "-c", CLIENT.format(change=change), "fractal-1", "--out=set"]
    command += [f"--scheduler={standing.address}", *options(SMALL)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert re.match(f"fdsl-gen: {words}", last)
    assert "Traceback" not in done.stderr
    assert not tars(tmp_path / "set")


def test_a_scheduler_that_comes_late_waits_for_workers_and_dies(tmp_path):
    with Standing(tmp_path, workers=0) as cluster:
        process = start(tmp_path / "out", f"--scheduler-file={cluster.file}")
        lines = iter(process.stderr.readline, "")
        assert any("has no workers; waiting for one to join" in line for line in lines)
        cluster.add_worker()
        wait_for(lambda: list((tmp_path / "out").glob("*.tar")))
        cluster.kill_scheduler()
        _, errors = process.communicate(timeout=240)
    assert process.returncode == 3, errors
    assert "the Dask scheduler is gone; to retry these alone: fdsl-gen fractal-1" in errors
    assert "Traceback" not in errors


class Leaving(Silent):
    """A client of a scheduler whose only worker goes away, and what is told of it."""

    def __init__(self):
        self.notes = []
        self.seen = iter([{"tcp://a:1": 1}, {}, {}])

    def nthreads(self):
        return next(self.seen)

    def submit(self, *args, **kwargs):
        return self

    def add_done_callback(self, told):
        pass

    def note(self, text):
        self.notes.append(text)


def test_a_cluster_without_workers_is_given_up(monkeypatch):
    from fdsl_gen.executors import dask

    monkeypatch.setattr(dask, "NO_WORKER_SECONDS", 0.0)
    monkeypatch.setattr(dask, "_LOOK_SECONDS", 0.01)
    client = Leaving()
    failures = dask._Run(client, divide, [1, 2, 3], client, deque(range(3))).go()
    reason = "the Dask scheduler has had no worker for 0 s"
    assert failures == [Failure(task, reason) for task in (1, 2, 3)]
    assert client.notes == [
        "the worker tcp://a:1 is gone; its shard goes to another one",
        "the Dask scheduler has no workers; waiting for one to join",
    ]


SOON = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "1s"}
BAD_CLUSTERS = [
    (["--scheduler=tcp://127.0.0.1:1"], "cannot reach the Dask scheduler at tcp://127.0.0.1:1: "),
    (["--scheduler-file=bad.json"], "bad.json does not tell the address of a Dask scheduler"),
    (["--executor=spark"], "'spark' is not one of 'serial', 'local', 'dask'"),
]


@pytest.mark.parametrize(("args", "words"), BAD_CLUSTERS)
def test_bad_clusters_are_one_sentence(tmp_path, args, words):
    (tmp_path / "bad.json").write_text("[1]")
    done = fdsl_gen("fractal-1", "--out=x", *args, *options(SMALL), cwd=tmp_path, **SOON)
    assert done.returncode == 2, done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("fdsl-gen: ")
    assert words in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not tars(tmp_path / "x")


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        (None, {"scheduler": "here"}, r"is named like tcp://host:8786, not 'here'"),
        (None, {"scheduler": "a:1", "scheduler_file": Path("b")}, r"not both"),
        ("local", {"scheduler": "a:1"}, r"a Dask scheduler is of no use to --executor local"),
        ("dask", {"scheduler": "a:1", "workers": 2}, r"--workers is for this machine"),
        ("serial", {"workers": 2}, r"--executor serial has one worker"),
    ],
)
def test_options_that_do_not_go_together(name, settings, words):
    with pytest.raises(UsageError, match=words):
        executor_named(name, **settings)


def test_dask_is_an_extra(tmp_path):
    """A package that cannot be imported stands for one that is not there."""
    (tmp_path / "distributed.py").write_text("raise ImportError\n")
    command = ("fractal-1", "--out=x", *options(SMALL))
    away = {"PYTHONPATH": str(tmp_path)}
    done = fdsl_gen(*command, "--executor=dask", cwd=tmp_path, **away)
    assert done.returncode == 2
    assert done.stderr.endswith(
        'fdsl-gen: --executor dask needs dask, which is not installed: pip install "fdsl[dask]"\n'
    )
    assert fdsl_gen(*command, "--executor=serial", cwd=tmp_path, **away).returncode == 0


@pytest.mark.parametrize(
    ("sent", "workers"),
    [(signal.SIGUSR1, 1), (signal.SIGUSR2, 2), (signal.SIGXCPU, 1)],
)
def test_every_walltime_signal_ends_every_engine(tmp_path, sent, workers):
    """Sent to all processes, and again while the first is being obeyed."""
    out = tmp_path / "out"
    process = start(out, f"--workers={workers}", start_new_session=True)
    wait_for(lambda: len(list(out.glob("*.tar"))) >= 2)
    os.killpg(process.pid, sent)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, sent)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 75, errors
    assert f"stopped by {sent.name}; what is finished stays" in errors
    assert "Traceback" not in errors
    wait_for(lambda: not group(process.pid), 60)
    assert 2 <= len(tars(out)) < MEDIUM["num_shards"]
    assert not list(out.rglob(".*.tmp"))
