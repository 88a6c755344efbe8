"""A run that was killed continues as if it had not been."""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fdsl_train.training import checkpoint
from tests.fdsl_train.conftest import run, start, wait_for_lines, write_recipe
from tests.fdsl_train.training.segment import SEGMENT, write_masked

STEPS = 30


# With everything that draws random numbers or keeps a state switched on.
STATEFUL: dict[str, Any] = {
    "steps": STEPS, "model_ema": "true", "model_ema_decay": 0.9, "amp": "true",
    "amp_dtype": "float16", "grad_accum_steps": 2, "clip_grad": 1.0, "aug_repeats": 2,
    "layer_decay": 0.8,
}  # fmt: skip
TASKS: dict[str, dict[str, Any]] = {
    "classification": {},
    "segmentation": SEGMENT | {"global_batch_size": 8},
}


@dataclass(frozen=True)
class Case:
    """A pre-training: its command without a folder, and the folder of a run to the end."""

    words: tuple[Any, ...]
    whole: Path


@pytest.fixture(scope="module")
def cases(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Case]:
    """By task, made when first asked for."""

    @cache
    def made(task: str) -> Case:
        folder = tmp_path_factory.mktemp(task)
        data = dataset if task == "classification" else write_masked(folder / "data")
        recipe = write_recipe(folder / "tiny.yaml", **(STATEFUL | TASKS[task]))
        words = ("pretrain", "--recipe", recipe, "--data", data, "--output")
        result = run(*words, folder / "out")
        assert result.exit_code == 0, result.output
        assert [line["step"] for line in logged(folder / "out")] == list(range(1, STEPS + 1))
        return Case(words, folder / "out")

    return made


@pytest.fixture(scope="module", params=TASKS)
def case(request: pytest.FixtureRequest, cases: Callable[[str], Case]) -> Case:
    """Of every task."""
    return cases(request.param)


def logged(output: Path) -> list[dict[str, Any]]:
    """What was logged, without what depends on the clock."""
    text = (output / "metrics.jsonl").read_text()
    clock = ("images_per_s", "data_wait")
    return [
        {key: value for key, value in json.loads(line).items() if key not in clock}
        for line in text.splitlines()
    ]


def same_result(output: Path, whole: Path) -> bool:
    """Whether two runs logged and exported the same, to the last bit."""
    assert logged(output) == logged(whole)
    assert (output / "summary.csv").read_text() == (whole / "summary.csv").read_text()
    weights = sorted(path.name for path in (whole / "export").glob("*.safetensors"))
    return all(
        (output / "export" / name).read_bytes() == (whole / "export" / name).read_bytes()
        for name in weights
    )


@pytest.mark.parametrize(
    ("task", "workers"),
    [("classification", 0), ("classification", 1), ("classification", 2), ("segmentation", 1)],
)
def test_a_killed_run_continues_bit_for_bit(
    cases: Callable[[str], Case], tmp_path: Path, task: str, workers: int
) -> None:
    case, output = cases(task), tmp_path / "out"
    words = [*case.words, output, "--resume", "auto", "--workers"]
    process = start(*words, str(workers))
    metrics = output / "metrics.jsonl"
    wait_for_lines(metrics, 6, process)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"
    process.communicate()
    assert not (output / "export").exists()
    with metrics.open("a") as file:
        file.write('{"step": 29, "lo')  # what a kill in the middle of a line leaves

    result = run(*words, str(2 - workers))
    assert result.exit_code == 0, result.output
    assert "from step " in result.output, "it began anew, the test shows nothing"
    assert same_result(output, case.whole)


def test_resume_begins_where_nothing_was_saved(case: Case, tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (output / "args.yaml").write_bytes((case.whole / "args.yaml").read_bytes())
    (output / "metrics.jsonl").write_text('{"step": 1, "loss": 5.0}\n')
    (output / "summary.csv").write_text("step,loss\n1,5.0\n")
    result = run(*case.words, output, "--resume", "auto")
    assert result.exit_code == 0, result.output
    assert same_result(output, case.whole)


def test_the_state_that_goes_on_is_whole(case: Case) -> None:
    saved = checkpoint.load(case.whole / "last.pth.tar")
    assert saved["scaler"]["_growth_tracker"] == STEPS  # every step was scaled, none skipped
    whole = case.whole / "export" / "segmenter.safetensors"
    exported = load_file(whole if whole.exists() else whole.with_name("model.safetensors"))
    for name, average in saved["model_ema"].items():
        assert torch.equal(average, exported[name])
    changed = [name for name in exported if not torch.equal(exported[name], saved["model"][name])]
    assert len(changed) > 10, "the average is the model itself, the test shows nothing"


@pytest.mark.parametrize(
    ("task", "number", "code", "sentence"),
    [
        ("classification", signal.SIGTERM, 75, "stopped by SIGTERM after step"),
        ("segmentation", signal.SIGTERM, 75, "stopped by SIGTERM after step"),
        ("classification", signal.SIGUSR1, 75, "stopped by SIGUSR1 after step"),
        (
            "classification",
            signal.SIGINT,
            130,
            "interrupted; --resume auto continues the run",
        ),
    ],
    ids=lambda value: value if value in TASKS else getattr(value, "name", ""),
)
def test_a_signal_ends_a_run_between_steps(
    cases: Callable[[str], Case], tmp_path: Path,
    task: str, number: signal.Signals, code: int, sentence: str,
) -> None:  # fmt: skip
    case, output = cases(task), tmp_path / "out"
    words = [*case.words, output, "--workers", "1", "--checkpoint-every", "1000"]
    words += ["--resume", "auto"]
    process = start(*words)
    wait_for_lines(output / "metrics.jsonl", 6, process)
    os.kill(process.pid, number)
    _, said = process.communicate(timeout=240)
    assert process.returncode == code, said
    assert said.strip().startswith("fdsl-train: ") and sentence in said
    assert len(said.strip().splitlines()) == 1
    step = checkpoint.load(output / "last.pth.tar")["step"]
    assert 6 <= step < STEPS
    assert [line["step"] for line in logged(output)] == list(range(1, step + 1))
    result = run(*words)
    assert result.exit_code == 0, result.output
    assert f"from step {step} to" in result.output
    assert logged(output) == logged(case.whole)


def test_a_signal_to_a_loader_process_changes_nothing(case: Case, tmp_path: Path) -> None:
    """SLURM and terminals signal every process of a job."""
    output = tmp_path / "out"
    process = start(*case.words, output, "--workers", "1")
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not (children := listed.read_text().split()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)
    for child in children:
        os.kill(int(child), signal.SIGTERM)
        os.kill(int(child), signal.SIGINT)
    _, said = process.communicate(timeout=240)
    assert process.returncode == 0, said
    assert logged(output) == logged(case.whole)
