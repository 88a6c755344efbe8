"""A run that was killed continues as if it had not been."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from fdsl_train.cli.main import main
from fdsl_train.training import checkpoint
from tests.fdsl_train.conftest import start, wait_for_lines, write_recipe

STEPS = 30


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With everything that draws random numbers or keeps a state switched on."""
    return write_recipe(
        tmp_path_factory.mktemp("recipe") / "tiny.yaml", steps=STEPS, model_ema="true",
        model_ema_decay=0.9, amp="true", amp_dtype="float16", grad_accum_steps=2, clip_grad=1.0,
        aug_repeats=2, layer_decay=0.8,
    )  # fmt: skip


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
    wait_for_lines(metrics, 6, process)
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


def test_the_state_that_goes_on_is_whole(uninterrupted: Path) -> None:
    saved = checkpoint.load(uninterrupted / "last.pth.tar")
    assert saved["scaler"]["_growth_tracker"] == STEPS  # every step was scaled, none skipped
    exported = load_file(uninterrupted / "export" / "model.safetensors")
    for name, average in saved["model_ema"].items():
        assert torch.equal(average, exported[name])
    changed = [name for name in exported if not torch.equal(exported[name], saved["model"][name])]
    assert len(changed) > 10, "the average is the model itself, the test shows nothing"


@pytest.mark.parametrize(
    ("number", "code", "sentence"),
    [
        (signal.SIGTERM, 75, "stopped by SIGTERM after step"),
        (signal.SIGUSR1, 75, "stopped by SIGUSR1 after step"),
        (signal.SIGINT, 130, "interrupted; --resume auto continues the run"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_signal_ends_a_run_between_steps(
    recipe: Path, dataset: Path, uninterrupted: Path, tmp_path: Path,
    number: signal.Signals, code: int, sentence: str,
) -> None:  # fmt: skip
    output = tmp_path / "out"
    arguments = ["pretrain", "--recipe", recipe, "--data", dataset, "--output", output]
    arguments += ["--workers", "1", "--checkpoint-every", "1000", "--resume", "auto"]
    process = start(*arguments)
    wait_for_lines(output / "metrics.jsonl", 6, process)
    os.kill(process.pid, number)
    _, said = process.communicate(timeout=240)
    assert process.returncode == code, said
    assert said.strip().startswith("fdsl-train: ") and sentence in said
    assert len(said.strip().splitlines()) == 1
    step = checkpoint.load(output / "last.pth.tar")["step"]
    assert 6 <= step < STEPS
    assert [line["step"] for line in logged(output)] == list(range(1, step + 1))
    result = CliRunner().invoke(main, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    assert f"from step {step} to" in result.output
    assert logged(output) == logged(uninterrupted)


def test_a_signal_to_a_loader_process_changes_nothing(
    recipe: Path, dataset: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    """SLURM and terminals signal every process of a job."""
    output = tmp_path / "out"
    arguments = ["pretrain", "--recipe", recipe, "--data", dataset, "--output", output]
    process = start(*arguments, "--workers", "1")
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not (children := listed.read_text().split()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)
    for child in children:
        os.kill(int(child), signal.SIGTERM)
        os.kill(int(child), signal.SIGINT)
    _, said = process.communicate(timeout=240)
    assert process.returncode == 0, said
    assert logged(output) == logged(uninterrupted)
