"""Accuracy from counts, means, and log files that can be cut."""

import csv
import json
from pathlib import Path

import pytest
import torch

from fdsl_gen.core.errors import FdslError
from fdsl_train.distributed.group import Group
from fdsl_train.distributed.launch import Process
from fdsl_train.tasks.classification import Accuracy
from fdsl_train.training import checkpoint
from fdsl_train.training.logs import Log, Means

ALONE = Group(Process(), torch.device("cpu"))


def test_accuracy_counts_over_batches_of_any_size() -> None:
    accuracy = Accuracy()
    logits = torch.eye(10)
    accuracy.update(logits, torch.arange(10))  # all right
    accuracy.update(
        torch.tensor([[9.0, 8, 7, 6, 5, 4, 3, 2, 1, 0]]).repeat(2, 1), torch.tensor([4, 5])
    )
    assert accuracy.percent(accuracy.counts()) == {
        "val_top1": pytest.approx(100 * 10 / 12),
        "val_top5": pytest.approx(100 * 11 / 12),
    }


def test_fewer_than_five_classes() -> None:
    accuracy = Accuracy()
    accuracy.update(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 1]))
    assert accuracy.percent(accuracy.counts()) == {"val_top1": 50.0, "val_top5": 100.0}


def test_means_survive_a_checkpoint() -> None:
    whole, first, second = Means(ALONE), Means(ALONE), Means(ALONE)
    values = [0.1, 0.7, 1e-9]
    for value in values:
        whole.update({"loss": torch.tensor(value)})
    first.update({"loss": torch.tensor(values[0])})
    second.restore(first.state())
    for value in values[1:]:
        second.update({"loss": torch.tensor(value)})
    assert second.compute() == whole.compute()
    assert whole.compute() == {}


class Pair(Group):
    """Two processes that always have the same numbers."""

    def __init__(self) -> None:
        super().__init__(Process(world_size=2), torch.device("cpu"))

    def sum(self, values: list[float]) -> list[float]:
        return [2 * value for value in values]


def test_means_are_over_steps_and_processes() -> None:
    means = Means(Pair())
    for value in (1.0, 2.0, 6.0):
        means.update({"loss": torch.tensor(value)})
    assert means.state() == {"sums": {"loss": 9.0}, "count": 3}
    assert means.compute() == {"loss": 3.0}


def test_logs_can_be_cut(tmp_path: Path) -> None:
    log = Log(tmp_path, 0)
    for step in (1, 2, 3):
        log.line({"step": step, "loss": 0.5})
        log.row({"step": step, "loss": 0.1})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4')
    with (tmp_path / "summary.csv").open("a") as file:
        file.write("4")
    log.close()
    log = Log(tmp_path, 2)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2]
    log.row({"step": 3, "loss": 0.1})
    with (tmp_path / "summary.csv").open(newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["1", "2", "3"]
    log.close()
    Log(tmp_path, 0).close()
    assert (tmp_path / "metrics.jsonl").read_text() == ""
    assert not (tmp_path / "summary.csv").exists()


def test_a_checkpoint_refuses_what_others_cannot_load(tmp_path: Path) -> None:
    saved = {"a": (1, 2.0, "x"), "b": {"c": torch.ones(2)}}
    checkpoint.save(tmp_path / "x.pth.tar", saved)
    loaded = checkpoint.load(tmp_path / "x.pth.tar")
    assert loaded["a"] == [1, 2.0, "x"]
    assert [path.name for path in tmp_path.iterdir()] == ["x.pth.tar"]
    for value in (tmp_path, torch.ones(1).numpy()[0], {1, 2}):
        with pytest.raises(TypeError):
            checkpoint.plain({"deep": [value]})


def test_a_failed_write_keeps_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.pth.tar"
    checkpoint.save(path, {"step": 1})

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(FdslError, match="No space left on device; the one before it is whole"):
        checkpoint.save(path, {"step": 2})
    assert checkpoint.load(path)["step"] == 1
    assert [found.name for found in tmp_path.iterdir()] == ["x.pth.tar"]
