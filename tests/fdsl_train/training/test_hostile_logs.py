"""Logs of a run that others may have changed: one sentence, on resume and in a plot."""

import os
from pathlib import Path

import pytest

from fdsl_gen.core.errors import UsageError
from fdsl_train.training.logs import Log, read_metrics, read_summary
from fdsl_train.training.result import RunResult
from tests.fdsl_train.conftest import run

pytestmark = pytest.mark.usefixtures("cheaply")

METRICS = [
    b"3\n",
    b"[]\n",
    b"{}\n",
    b'{"step": "1", "loss": 1, "lr": 1}\n',
    b'{"step": true, "loss": 1, "lr": 1}\n',
    b'{"step": 1, "loss": [1], "lr": 1}\n',
    b'{"step": 1, "loss": NaN, "lr": 1}\n',
    b'{"step": 1, "loss": 1, "loss": 2, "lr": 1}\n',
    b"[" * 60_000 + b"\n",
    b'{"step": 1, "loss": ' + b"9" * 100_000 + b"}\n",
    b"\xff\xfe\n",
    b"\n",
]
SUMMARIES = [
    b"epoch,loss\n1,2\n",
    b"step,loss\nx,2\n",
    b"step,loss\n1,2,3\n",
    b"step,loss\n-1,2\n",
    b"step,loss\n" + b"9" * 5000 + b",2\n",
    b"\xff\xfe\n1\n",
    b'step,loss\n1,"' + b"x" * 200_000 + b'"\n',
    b'step,loss\n1,"2\n',
]


@pytest.mark.parametrize("content", METRICS, ids=lambda content: repr(content[:30]))
def test_odd_metrics(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1, "loss": 1, "lr": 1}\n' + content)
    for read in (lambda: list(read_metrics(path)), lambda: Log(tmp_path, 1)):
        with pytest.raises(UsageError, match=r"metrics\.jsonl, line 2"):
            read()
    with pytest.raises(UsageError, match=r"metrics\.jsonl, line 2"):
        assert RunResult(output=tmp_path, steps=1, last={}, best={}).metrics
    plotted = run("plot", tmp_path)
    assert (plotted.exit_code, plotted.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize("content", SUMMARIES, ids=lambda content: repr(content[:30]))
def test_odd_summaries(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 1, "lr": 1}\n')
    (tmp_path / "summary.csv").write_bytes(content)
    for read in (lambda: read_summary(tmp_path / "summary.csv"), lambda: Log(tmp_path, 1)):
        with pytest.raises(UsageError, match=r"summary\.csv is not a summary"):
            read()
    plotted = run("plot", tmp_path)
    assert (plotted.exit_code, plotted.stderr.count("\n")) == (2, 1)


def test_odd_numbers_in_a_plot(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 1, "lr": 1}\n{"step": 2}\n')
    assert "a line without loss" in run("plot", tmp_path).stderr
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 1, "lr": 1}\n')
    (tmp_path / "summary.csv").write_text("step,val_top1\n1,much\n")
    plotted = run("plot", tmp_path)
    assert (plotted.exit_code, plotted.stderr.count("\n")) == (2, 1)
    assert "is not a summary of fdsl-train" in plotted.stderr


@pytest.mark.parametrize("name", ["metrics.jsonl", "summary.csv"])
def test_logs_that_are_no_files(name: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 1, "lr": 1}\n')
    for make in (os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)):
        path = tmp_path / name
        path.unlink(missing_ok=True)
        make(path)
        with pytest.raises(UsageError, match=f"{name}: it is not a regular file"):
            Log(tmp_path, 1)
        assert "not a regular file" in run("plot", tmp_path).stderr
        (path.rmdir if path.is_dir() else path.unlink)()
