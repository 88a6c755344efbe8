"""A run that was killed continues as if it had not been."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import start, write_recipe

from fdsl_train.cli import main

STEPS = 30


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With everything that draws random numbers switched on."""
    return write_recipe(tmp_path_factory.mktemp("recipe") / "tiny.yaml", steps=STEPS)


def logged(output: Path) -> list[dict[str, Any]]:
    """What was logged, without what depends on the clock."""
    text = (output / "metrics.jsonl").read_text()
    clock = ("images_per_s", "data_wait")
    return [
        {key: value for key, value in json.loads(line).items() if key not in clock}
        for line in text.splitlines()
    ]


@pytest.fixture(scope="module")
def uninterrupted(recipe: Path, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("run") / "out"
    arguments = ["pretrain", "--recipe", recipe, "--data", dataset, "--output", output]
    result = CliRunner().invoke(main, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    assert [line["step"] for line in logged(output)] == list(range(1, STEPS + 1))
    return output


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_killed_run_continues_bit_for_bit(
    recipe: Path, dataset: Path, uninterrupted: Path, tmp_path: Path, workers: int
) -> None:
    output = tmp_path / "out"
    arguments = ["pretrain", "--recipe", recipe, "--data", dataset, "--output", output]
    arguments += ["--workers", str(workers), "--resume", "auto"]
    process = start(*arguments)
    metrics = output / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if metrics.exists() and metrics.read_text().count("\n") >= 6:
            break
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"
    process.communicate()
    assert not (output / "export").exists()
    with metrics.open("a") as file:
        file.write('{"step": 29, "lo')  # what a kill in the middle of a line leaves

    changed = [*arguments, "--workers", str(2 - workers)]
    result = CliRunner().invoke(main, list(map(str, changed)))
    assert result.exit_code == 0, result.output
    assert "from step " in result.output, "it began anew, the test shows nothing"
    assert logged(output) == logged(uninterrupted)
    assert (output / "summary.csv").read_text() == (uninterrupted / "summary.csv").read_text()
    weights = "export/model.safetensors"
    assert (output / weights).read_bytes() == (uninterrupted / weights).read_bytes()


def test_resume_begins_where_nothing_was_saved(
    recipe: Path, dataset: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (output / "args.yaml").write_bytes((uninterrupted / "args.yaml").read_bytes())
    (output / "metrics.jsonl").write_text('{"step": 1, "loss": 5.0}\n')
    (output / "summary.csv").write_text("step,loss\n1,5.0\n")
    arguments = ["pretrain", "--recipe", recipe, "--data", dataset, "--output", output]
    result = CliRunner().invoke(main, [*map(str, arguments), "--resume", "auto"])
    assert result.exit_code == 0, result.output
    assert logged(output) == logged(uninterrupted)
    assert (output / "summary.csv").read_text() == (uninterrupted / "summary.csv").read_text()
