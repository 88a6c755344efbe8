"""Checkpoints beside the steps: the state of the moment, whole or absent, failures told."""

import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from fdsl_gen.core.errors import FdslError
from fdsl_train.training import checkpoint
from fdsl_train.training.checkpoint_writer import CheckpointWriter
from fdsl_train.training.train_step import Learner
from tests.fdsl_train.conftest import run, write_recipe

CPU = torch.device("cpu")


class Gate:
    """Holds whoever saves until it is opened; counts those who came."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.came = 0
        self._save = checkpoint.save
        monkeypatch.setattr(checkpoint, "save", self._wait)

    def _wait(self, path: Path, payload: dict[str, Any]) -> None:
        self.came += 1
        assert self.open.wait(60)
        self._save(path, payload)


def test_what_is_written_is_the_state_of_the_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, writer = Gate(monkeypatch), CheckpointWriter(CPU)
    weights = torch.arange(4.0)
    paths = [tmp_path / "best", tmp_path / "last"]
    writer.save(paths, {"model": {"w": weights}, "step": (1, 2)})
    weights += 1  # a step that goes on meanwhile
    assert writer.written == 0 and not paths[0].exists()
    gate.open.set()
    writer.wait()
    assert writer.written == 1
    for path in paths:
        found = checkpoint.load(path)
        assert found["model"]["w"].tolist() == [0, 1, 2, 3]
        assert found["step"] == [1, 2]
    writer.wait()  # again, with nothing to wait for


@pytest.mark.parametrize("ask", ["check", "wait", "save"])
def test_a_failure_is_told_once(tmp_path: Path, ask: str) -> None:
    writer = CheckpointWriter(CPU)
    writer.check()
    writer.save([tmp_path / "missing" / "last"], {})
    writer.close()  # does not tell
    again = ([tmp_path / "last"], {"step": 2}) if ask == "save" else ()
    with pytest.raises(FdslError, match="was deleted while this ran"):
        getattr(writer, ask)(*again)
    assert writer.written == 0
    assert not list(tmp_path.iterdir())
    writer.wait()


def test_what_cannot_be_saved_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        CheckpointWriter(CPU).save([tmp_path / "last"], {"path": tmp_path})


def test_steps_go_on_while_a_checkpoint_is_written(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint of step 4 is held until step 7 is taken, and is still that of step 4."""
    gate, take, seen = Gate(monkeypatch), Learner.train_step, {}

    def step(learner: Learner, number: int, batch: Any) -> Any:
        if number == 4:
            seen["weights"] = {k: v.clone() for k, v in learner.model.state_dict().items()}
            seen["came"] = gate.came
        if number == 6:
            gate.open.set()
        return take(learner, number, batch)

    monkeypatch.setattr(Learner, "train_step", step)
    kept = {}
    save = gate._save

    def keep(path: Path, payload: dict[str, Any]) -> None:
        kept[payload["step"]] = payload["model"]
        save(path, payload)

    gate._save = keep
    recipe = write_recipe(tmp_path / "r.yaml", steps=8)
    result = run("pretrain", "--recipe", recipe, "--data", dataset, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert seen["came"] <= 1 and sorted(kept) == [4, 8]
    assert all(torch.equal(kept[4][name], value) for name, value in seen["weights"].items())
    assert checkpoint.load(tmp_path / "out" / "last.pth.tar")["step"] == 8
