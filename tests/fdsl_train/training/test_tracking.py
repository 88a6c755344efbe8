"""Trackers get every line once, whatever is killed and whatever fails; no run waits for them."""

import json
import logging
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from fdsl_train.training import tracking
from fdsl_train.training.logs import Log, read_metrics, read_summary
from fdsl_train.training.trackers import SINKS, Identity, Line
from tests.fdsl_train.conftest import command, environment, run, wait_for_lines, write_recipe


class Sink:
    """A tracker in memory; its name is that of a module that is always there."""

    runs: dict[str, list[Line]]
    told: list[Identity]
    fails: str
    answers: Callable[[str], int | None]
    ends: list[bool]
    settles = 0.0

    def __init__(self, identity: Identity, key: str | None) -> None:
        self._may_fail("open")
        self.key = key or f"run {len(self.runs)}"
        if key is None:
            self.told.append(identity)
        self.runs.setdefault(self.key, [])
        self.held = type(self).answers(self.key)

    def send(self, lines: Sequence[Line]) -> None:
        self._may_fail("send")
        self.runs[self.key].extend(lines)

    def close(self, *, finished: bool) -> None:
        self._may_fail("close")
        self.ends.append(finished)

    def _may_fail(self, where: str) -> None:
        if self.fails == where:
            raise ConnectionError("no route\nto host")


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> type[Sink]:
    """Registered as ``json``; it cannot say what it holds."""
    fresh = {"runs": {}, "told": [], "fails": "", "answers": lambda key: None, "ends": []}
    for name, value in fresh.items():
        monkeypatch.setattr(Sink, name, value, raising=False)
    monkeypatch.setitem(SINKS, "json", Sink)
    return Sink


def logged(
    folder: Path, begin: int, *steps: int, covered: int = 0, trackers: Sequence[str]
) -> None:
    """Log some steps, with a checkpoint after step ``covered``."""
    log = Log(folder, begin, trackers, {"lr": 0.1})
    for step in steps:
        log.line({"step": step, "loss": 1 / step})
        if step == covered:
            log.row({"step": step, "loss": 2 / step})
            done = log.covered()
            assert done is not None
            done()
    log.close(finished=False)


def line(step: int, *, row: bool = False) -> Line:
    return Line(step, {"train/loss": 1 / step} | ({"summary/loss": 2 / step} if row else {}))


def test_lines_are_sent_once_a_checkpoint_covers_them(tmp_path: Path, sink: type[Sink]) -> None:
    logged(tmp_path, 0, 1, 2, 3, 4, covered=3, trackers=["json"])
    whole = [line(1), line(2), line(3, row=True)]
    assert sink.runs == {"run 0": whole}
    assert sink.told == [Identity(tmp_path, {"lr": 0.1})]
    logged(tmp_path, 3, 4, 5, covered=5, trackers=["json", "json"])
    assert sink.runs == {"run 0": [*whole, line(4), line(5, row=True)]}
    assert sink.ends == [False, False] and len(sink.told) == 1


def test_a_tracker_that_comes_later_gets_all(tmp_path: Path, sink: type[Sink]) -> None:
    logged(tmp_path, 0, 1, 2, covered=2, trackers=["json"])
    sink.runs.clear()
    (tmp_path / tracking.RECORD).unlink()
    logged(tmp_path, 2, 3, covered=3, trackers=["json"])
    assert sink.runs == {"run 0": [line(1), line(2, row=True), line(3, row=True)]}


@pytest.mark.parametrize(("held", "again"), [(1, [2]), (2, []), (0, [1, 2])])
def test_what_a_tracker_says_goes_before_the_record(
    tmp_path: Path, sink: type[Sink], held: int, again: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    logged(tmp_path, 0, 1, 2, covered=2, trackers=["json"])
    sink.runs["run 0"].clear()
    monkeypatch.setattr(sink, "answers", lambda key: held)
    logged(tmp_path, 2, trackers=["json"])
    assert [sent.step for sent in sink.runs["run 0"]] == again


@pytest.mark.parametrize("says", [False, True])
def test_a_run_that_is_begun_anew_is_a_new_one(
    tmp_path: Path, sink: type[Sink], says: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged(tmp_path, 0, 1, 2, 3, covered=3, trackers=["json"])
    if says:
        content = (tmp_path / tracking.RECORD).read_text()
        (tmp_path / tracking.RECORD).write_text(content.replace('"sent": 3', '"sent": 1'))
        monkeypatch.setattr(sink, "answers", lambda key: 3 if key == "run 0" else None)
    logged(tmp_path, 2, 3, covered=3, trackers=["json"])
    assert sink.runs["run 1"] == [line(1), line(2), line(3, row=True)]


@pytest.mark.parametrize("says", [False, True])
def test_a_kill_while_lines_are_sent(
    tmp_path: Path, sink: type[Sink], says: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever cannot say what arrived gets all as another run."""
    record = tmp_path / tracking.RECORD
    seen = []
    monkeypatch.setattr(sink, "send", lambda self, lines: seen.append(record.read_text()))
    logged(tmp_path, 0, 1, 2, covered=2, trackers=["json"])
    monkeypatch.undo()
    monkeypatch.setitem(SINKS, "json", sink)
    assert '"unsettled": false' in record.read_text()
    record.write_text(seen[0])
    sink.runs, sink.told, sink.fails, sink.ends = {"run 0": []}, [], "", []
    sink.answers = lambda key: 0 if says and key == "run 0" else None
    logged(tmp_path, 2, trackers=["json"])
    assert sink.runs[f"run {int(not says)}"] == [line(1), line(2, row=True)]


@pytest.mark.parametrize("where", ["open", "send", "close"])
def test_a_tracker_that_fails_stops_nothing(
    tmp_path: Path, sink: type[Sink], where: str, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """One warning; the other trackers get all."""

    class Sound(Sink):
        runs: dict[str, list[Line]] = {}  # noqa: RUF012
        fails = ""

    monkeypatch.setitem(SINKS, "csv", Sound)
    monkeypatch.setattr(sink, "fails", where)
    logged(tmp_path, 0, 1, 2, covered=2, trackers=["json", "csv"])
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert warning.startswith("json gets no more of this run: no route; the run goes on")
    assert list(Sound.runs.values()) == [[line(1), line(2, row=True)]]
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2


def test_a_broken_installation_stops_nothing(
    tmp_path: Path, sink: type[Sink], caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setitem(SINKS, "no_such_module", sink)
    logged(tmp_path, 0, 1, covered=1, trackers=["no_such_module", "json"])
    assert "no_such_module gets no more of this run" in caplog.text
    assert list(sink.runs.values()) == [[line(1, row=True)]]


def test_a_tracker_that_hangs_is_left_at_the_end(
    tmp_path: Path, sink: type[Sink], monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    hangs = threading.Event()
    monkeypatch.setattr(sink, "send", lambda self, lines: hangs.wait(60))
    monkeypatch.setattr(tracking, "_PATIENCE", 0.05)
    logged(tmp_path, 0, 1, covered=1, trackers=["json"])
    assert "has not taken all lines" in caplog.text
    hangs.set()


@pytest.mark.parametrize("text", ["", "[]", '{"json": {"run": "run 0"}}', "\xff", '{"json": 3}'])
def test_a_record_that_was_changed(
    tmp_path: Path, sink: type[Sink], text: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / tracking.RECORD).write_text(text, encoding="latin-1")
    logged(tmp_path, 0, 1, covered=1, trackers=["json"])
    assert "trackers get this run as a new one" in caplog.text
    assert sink.runs == {"run 0": [line(1, row=True)]}


def test_a_board_that_fails_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no such plugin")

    monkeypatch.setattr("torch.utils.tensorboard.SummaryWriter.add_scalar", fail)
    log = Log(tmp_path, 0, ["tensorboard"])
    for step in (1, 2):
        log.line({"step": step, "loss": 1.0})
    log.close()
    assert [r.getMessage() for r in caplog.records] == [
        "TensorBoard gets no more of this run: no such plugin; the run goes on"
    ]


def test_a_run_without_trackers(dataset: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", steps=3, warmup_steps=0, log_to="[]")
    result = run("pretrain", "--recipe", recipe, "--data", dataset, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert not (tmp_path / "out" / "tensorboard").exists()
    result = run("pretrain", "--data", dataset, "--output", tmp_path / "o", "--log-to", "wandbb")
    assert result.exit_code == 2
    assert "--log-to[0]: must be one of tensorboard, wandb, mlflow, trackio" in result.stderr


# Real trackers, without a network: one run that is killed and goes on.


def in_tensorboard(folder: Path, _: str) -> Iterator[Line]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(folder / "out" / "tensorboard"), size_guidance={"scalars": 0})
    board.Reload()
    for name in board.Tags()["scalars"]:
        for event in board.Scalars(name):
            yield Line(event.step, {name: event.value})
    (settings,) = board.Tensors("settings/text_summary")
    assert b"| global_batch_size | 16 |" in settings.tensor_proto.string_val[0]


def in_wandb(folder: Path, key: str) -> Iterator[Line]:
    """What would be sent, from the files that stand for the server: frames as LevelDB has them."""
    from wandb.proto.wandb_internal_pb2 import Record

    files = sorted((folder / "out" / "wandb").glob(f"offline-run-*/run-{key}.wandb"))
    assert len(files) == 2
    for path in files:
        data, at, whole = path.read_bytes(), 7, b""
        while at < len(data):
            if (left := 32768 - at % 32768) < 7:
                at += left
                continue
            _, length, kind = struct.unpack_from("<IHB", data, at)
            whole += data[at + 7 : at + 7 + length]
            at += 7 + length
            if kind in (1, 4):
                record, whole = Record.FromString(whole), b""
                if record.WhichOneof("record_type") == "run":
                    told = {item.key: item.value_json for item in record.run.config.update}
                    assert told["global_batch_size"] == "16" and len(
                        json.loads(told["data_digest"])
                    )
                for item in record.history.item:
                    name = item.key or item.nested_key[0]
                    if "/" in name:
                        yield Line(record.history.step.num, {name: json.loads(item.value_json)})


def in_mlflow(folder: Path, key: str) -> Iterator[Line]:
    from mlflow import MlflowClient

    client = MlflowClient((folder / "mlflow").as_uri())
    found = client.get_run(key)
    assert found.info.status == "FINISHED"
    assert found.data.params["global_batch_size"] == "16"
    assert len(found.data.params["data_digest"]) >= 32
    for name in found.data.metrics:
        for metric in client.get_metric_history(key, name):
            yield Line(metric.step, {name: metric.value})


def in_trackio(folder: Path, key: str) -> Iterator[Line]:
    from trackio.sqlite_storage import SQLiteStorage

    told = SQLiteStorage.get_run_config("fdsl", key)
    assert told is not None and told["global_batch_size"] == 16 and told["data_digest"]
    for row in SQLiteStorage.get_logs("fdsl", key):
        named = {name: value for name, value in row.items() if "/" in name}
        yield Line(row["step"], named)


# Waits in its eighth step for the end.
HELD = """
import time
from fdsl_train.training.train_step import Learner
take = Learner.train_step
def step(self, number, batch):
    if number == 7:
        time.sleep(600)
    return take(self, number, batch)
Learner.train_step = step
from fdsl_train.cli.__main__ import run
run()
"""


@pytest.fixture(scope="module")
def killed_and_continued(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 12 steps, killed after step 7, with what a checkpoint of step 4 covers sent."""
    folder = tmp_path_factory.mktemp("tracked")
    out, record = folder / "out", folder / "out" / tracking.RECORD
    here = [name for name in SINKS if find_spec(name) is not None]
    recipe = write_recipe(folder / "r.yaml", log_to=f"[tensorboard, {', '.join(here)}]")
    words = ["pretrain", "--recipe", recipe, "--data", dataset, "--output", out, "--resume", "auto"]
    offline = {
        "WANDB_MODE": "offline",
        "MLFLOW_TRACKING_URI": (folder / "mlflow").as_uri(),
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "TRACKIO_DIR": str(folder / "trackio"),
        "PYTHONWARNINGS": "default",  # of their libraries
    }
    how: dict[str, Any] = {"env": environment() | offline, "text": True}
    how |= {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    process = subprocess.Popen([sys.executable, "-c", HELD, *map(str, words)], **how)

    def sent() -> dict[str, int]:
        found = json.loads(record.read_text()) if record.exists() else {}
        return {name: entry["sent"] for name, entry in found.items()}

    deadline = time.monotonic() + 240
    while sent() != dict.fromkeys(here, 4):
        assert process.poll() is None and time.monotonic() < deadline, sent()
        time.sleep(0.05)
    wait_for_lines(out / "metrics.jsonl", 7, process)
    process.kill()
    process.communicate()
    before = json.loads(record.read_text())
    done = subprocess.run(command(*words), **how)
    assert done.returncode == 0, done.stdout
    assert "from step 4" in done.stdout and "gets no more" not in done.stdout, done.stdout
    assert sent() == dict.fromkeys(here, 12)
    after = json.loads(record.read_text())
    assert [after[name]["run"] for name in here] == [before[name]["run"] for name in here]
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tensorboard", *SINKS])
@pytest.mark.filterwarnings("ignore")  # of libraries of others
def test_a_tracker_holds_what_the_log_holds(
    killed_and_continued: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same numbers at the same steps, none twice, after a kill and a resume."""
    pytest.importorskip(name)
    folder = killed_and_continued
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    if name == "trackio":
        monkeypatch.setattr("trackio.sqlite_storage.TRACKIO_DIR", folder / "trackio")
    readers = {"tensorboard": in_tensorboard, "wandb": in_wandb}
    readers |= {"mlflow": in_mlflow, "trackio": in_trackio}
    record = json.loads((folder / "out" / tracking.RECORD).read_text())
    held: dict[tuple[int, str], float] = {}
    for step, values in readers[name](folder, record.get(name, {}).get("run", "")):
        for label, value in values.items():
            assert (step, label) not in held, "it stands there twice"
            held[step, label] = value
    wanted = {
        (row["step"], f"train/{label}"): value
        for _, row in read_metrics(folder / "out" / "metrics.jsonl")
        for label, value in row.items()
        if label != "step"
    } | {
        (int(row["step"]), f"summary/{label}"): float(text)
        for row in read_summary(folder / "out" / "summary.csv")
        for label, text in row.items()
        if label != "step"
    }
    assert held.keys() == wanted.keys()
    if name == "tensorboard":  # which holds float32
        held, wanted = ({k: float(torch.tensor(v)) for k, v in d.items()} for d in (held, wanted))
    assert held == wanted
