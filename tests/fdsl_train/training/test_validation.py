"""When a run validates, what it calls best, and which learning rate it logs."""

import csv
import json
import math
from pathlib import Path

import pytest

from fdsl_train.training import checkpoint
from fdsl_train.training.progress import Progress
from tests.fdsl_train.conftest import build_dataset, run, write_recipe

PEAK, FIRST = 1e-12, 2e-13  # so low that no measure can change


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str | Path]:
    """Ten steps of 16 of 32 images, validated every one and a half epochs, that change nothing."""
    folder = tmp_path_factory.mktemp("still")
    data = build_dataset(folder / "data", validation=True)
    recipe = write_recipe(
        folder / "r.yaml", steps=10, eval_epochs=1.5, warmup_steps=4, checkpoint_every=7,
        lr=PEAK, warmup_lr=FIRST, min_lr=0, weight_decay=0, mixup=0, cutmix=0, aa=None,
    )  # fmt: skip
    return ["pretrain", "--recipe", recipe, "--data", data, "--output"]


@pytest.fixture(scope="module")
def still(words: list[str | Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run."""
    output = tmp_path_factory.mktemp("run") / "out"
    result = run(*words, output)
    assert result.exit_code == 0, (result.output, result.exception)
    return output


def rows(output: Path) -> list[dict[str, str]]:
    with (output / "summary.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_recipe_says_how_often(still: Path) -> None:
    assert [row["step"] for row in rows(still)] == ["3", "6", "9", "10"]
    assert [row["epoch"] for row in rows(still)] == ["1.5", "3.0", "4.5", "5.0"]


def test_the_earliest_of_equals_is_the_best(still: Path) -> None:
    assert len({row["val_top1"] for row in rows(still)}) == 1
    assert checkpoint.load(still / "last.pth.tar")["best"]["step"] == 3
    assert checkpoint.load(still / "model_best.pth.tar")["step"] == 3


def test_the_rate_logged_is_the_one_of_the_step(still: Path) -> None:
    """Four steps up in a line, six down half a cosine; the first step takes the first rate."""
    up = [FIRST + (PEAK - FIRST) * step / 4 for step in range(4)]
    down = [PEAK * (1 + math.cos(math.pi * step / 6)) / 2 for step in range(6)]
    logged = [json.loads(line) for line in (still / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in logged] == list(range(1, 11))
    assert [line["lr"] for line in logged] == pytest.approx(up + down, rel=1e-9, abs=0)
    by_step = dict(zip(range(1, 11), up + down, strict=True))
    for row in rows(still):
        assert float(row["lr"]) == pytest.approx(by_step[int(row["step"])], rel=1e-9, abs=0)


def test_a_continued_run_knows_its_best_and_its_means(
    words: list[str | Path], still: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in its eighth step, it goes on after the seventh, between two validations."""
    output = tmp_path / "out"

    def stop(_: Progress, done: int) -> None:
        if done == 8:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "step", stop)
        assert run(*words, output).exit_code == 130
    assert checkpoint.load(output / "last.pth.tar")["step"] == 7
    result = run(*words, output, "--resume", "auto")
    assert result.exit_code == 0, (result.output, result.exception)
    assert (output / "summary.csv").read_text() == (still / "summary.csv").read_text()
    for name in ("best", "latest"):
        ends = [checkpoint.load(each / "last.pth.tar")[name] for each in (output, still)]
        assert ends[0] == ends[1]
