"""What a checkpoint brings back: every part of the state, and what may not be a state."""

import errno
import io
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result

from fdsl_gen.core.errors import FdslError, UsageError
from fdsl_train.models.value_digest import value_digest
from fdsl_train.training import checkpoint
from fdsl_train.training.logs import Log
from fdsl_train.training.train_step import Learner
from fdsl_train.training.trainer import Trainer
from fdsl_train.transforms.batch import Batch
from tests.fdsl_train.conftest import build_dataset, run, write_recipe
from tests.fdsl_train.training.test_train_step import ALONE, learner

SCALED = {"amp": "true", "amp_dtype": "float16", "model_ema": "true", "opt": "adamw", "steps": 12}


def batch(seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    return Batch(torch.randn(16, 3, 32, 32, generator=generator), torch.arange(16) % 8)


def trainer(folder: Path, taught: Learner) -> Trainer:
    return Trainer(
        config=taught._config, task=taught._task, learner=taught, group=ALONE, output=folder,
        facts={"data": "d", "start": "", "num_classes": 8, "class_names": None}, num_samples=32,
    )  # fmt: skip


@pytest.fixture
def stopped(tmp_path: Path) -> Trainer:
    """Three steps done, with measures and a scale that a new run would not have."""
    one = trainer(tmp_path, learner(tmp_path, **SCALED))
    for step in range(3):
        values = one.learner.train_step(step, batch(step))
        one._since_line.update(values)
        one._since_row.update(values)
    one.learner._scaler.update(512.0)
    one.step, one.best, one.latest = 3, {"step": 2, "val_top1": 75.0}, {"val_top1": 50.0}
    one._save(checkpoint.LAST)
    one._writer.wait()
    return one


def state_of(one: Trainer) -> dict[str, Any]:
    """All that a checkpoint would hold."""
    one._save("again.pth.tar")
    one._writer.wait()
    return checkpoint.load(one.output / "again.pth.tar")


def test_a_restored_state_is_the_saved_one(stopped: Trainer, tmp_path: Path) -> None:
    saved = checkpoint.load(tmp_path / checkpoint.LAST)
    again = trainer(tmp_path, learner(tmp_path, **SCALED))
    fresh = state_of(again)
    again.restore(saved)
    restored = state_of(again)
    assert saved["scaler"]["scale"] == 512.0
    assert restored.keys() == saved.keys()
    for part, value in saved.items():
        assert value_digest(restored[part]) == value_digest(value), part
    changed = {part for part in saved if value_digest(fresh[part]) != value_digest(saved[part])}
    assert changed == {
        *("step", "since_line", "since_row", "best", "latest", "digest"),
        *("model", "model_ema", "optimizer", "scaler"),
    }
    # And it goes on as the other does.
    for one in (stopped, again):
        one.learner.train_step(3, batch(3))
    assert value_digest(stopped.learner.state()) == value_digest(again.learner.state())


def test_what_is_restored_does_not_live_in_the_file(stopped: Trainer, tmp_path: Path) -> None:
    again = trainer(tmp_path, learner(tmp_path, **SCALED))
    again.restore(checkpoint.load(tmp_path / checkpoint.LAST))
    before = value_digest(again.learner.state())
    with (tmp_path / checkpoint.LAST).open("r+b") as file:  # another program writes over it
        file.write(bytes((tmp_path / checkpoint.LAST).stat().st_size))
    assert value_digest(again.learner.state()) == before


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model": {"head.weight": torch.zeros(2)}}, "is no state of this run: Error"),
        ({"optimizer": None}, "is no state of this run"),
        ({"step": 13}, "is no state of this run: step 13 of 12"),
        ({"step": -1}, "is no state of this run: step -1 of 12"),
        ({"since_row": {"sums": 3, "count": 1}}, "is no state of this run"),
    ],
)
def test_states_that_are_none(
    stopped: Trainer, tmp_path: Path, change: dict[str, Any], sentence: str
) -> None:
    saved = checkpoint.load(tmp_path / checkpoint.LAST) | change
    with pytest.raises(UsageError, match=sentence):
        trainer(tmp_path, learner(tmp_path, **SCALED)).restore(saved)


class _Runs:
    """Unpickling it runs a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, ("touch ran",))


def test_a_checkpoint_of_ours_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"format": checkpoint.FORMAT, "config": {}, "extra": _Runs()}, tmp_path / "x")
    with pytest.raises(UsageError, match=r"x needs posix\.system to be read, which could run any"):
        checkpoint.load(tmp_path / "x")
    assert not (tmp_path / "ran").exists()


def resumed(folder: Path, *more: str) -> Result:
    return run(
        "pretrain", "--recipe", folder / "r.yaml", "--data", folder / "data",
        "--output", folder / "out", "--resume", "auto", *more,
    )  # fmt: skip


@pytest.mark.parametrize("full_at", [1, 2, "export"])
def test_a_full_disk_while_saving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full_at: int | str
) -> None:
    """The same command goes on from the last good checkpoint, once there is room."""
    build_dataset(tmp_path / "data")
    write_recipe(tmp_path / "r.yaml", steps=6, checkpoint_every=2)
    out, sync, calls = tmp_path / "out", os.fsync, 0

    def fsync(handle: int) -> None:
        nonlocal calls
        calls += os.readlink(f"/proc/self/fd/{handle}").endswith(".tmp")
        if (
            calls == full_at + 2 if isinstance(full_at, int) else False
        ):  # after args.yaml, data.json
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(handle)

    def no_room(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        if full_at == "export":
            patch.setattr("fdsl_train.models.export.save_for_hf", no_room)
        result = resumed(tmp_path)
    assert result.exit_code == 1, (result.output, result.exception)
    assert len(result.stderr.strip().splitlines()) == 1
    name = "export" if full_at == "export" else "last.pth.tar"
    assert f"{out / name}: No space left on device" in result.stderr
    assert "make room and start the same command with --resume auto" in result.stderr
    assert not list(out.glob(".*.tmp"))
    done = {1: None, 2: 2, "export": 6}[full_at]
    assert (checkpoint.load(out / "last.pth.tar")["step"] if done else None) == done
    result = resumed(tmp_path)
    assert result.exit_code == 0, (result.output, result.exception)
    assert (f"from step {done} to 6" in result.output) == (done is not None)
    assert (out / "export" / "config.json").exists()


class _Full(io.RawIOBase):
    """A file on a full disk: it can be opened, and tells of the disk when a buffer is written."""

    def writable(self) -> bool:
        return True

    def write(self, _: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("name", ["metrics.jsonl", "summary.csv"])
def test_a_full_disk_while_logging(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    log = Log(tmp_path, 0)
    full = []

    def on_a_full_disk(path: Path, mode: str = "r", **how: Any) -> io.TextIOWrapper:
        assert (path, mode) == (tmp_path / name, "a")
        full.append(io.TextIOWrapper(io.BufferedWriter(_Full()), **how))
        return full[-1]

    with monkeypatch.context() as patch, pytest.raises(FdslError) as refused:
        patch.setattr(Path, "open", on_a_full_disk)
        (log.line if name == "metrics.jsonl" else log.row)({"step": 1, "loss": 2.0})
    assert f"cannot write {tmp_path / name}: No space left on device; make room" in str(
        refused.value
    )
    assert [file.closed for file in full] == [True]
    log.close()


def test_a_damaged_checkpoint_is_not_continued(tmp_path: Path) -> None:
    build_dataset(tmp_path / "data")
    write_recipe(tmp_path / "r.yaml", steps=3, warmup_steps=0)
    assert resumed(tmp_path).exit_code == 0
    path = tmp_path / "out" / "last.pth.tar"
    head = checkpoint.load(path)["model"]["head.weight"].numpy().tobytes()
    data = path.read_bytes()
    at = data.index(head)
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    result = resumed(tmp_path)
    assert result.exit_code == 4, (result.output, result.exception)
    assert f"{path} is damaged: its content does not fit the digest in it" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
