"""Several processes train as one: the same batches, the same losses, every sample counted once."""

import csv
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from fdsl_train.cli.main import main
from fdsl_train.training import checkpoint
from tests.fdsl_train.conftest import build_dataset, environment, wait_for_lines, write_recipe
from tests.fdsl_train.distributed.together import finish, free_port, start_all, train_together
from tests.fdsl_train.training.segment import SEGMENT, write_masked

QUIET = {"mixup": 0, "cutmix": 0, "drop_path": 0, "warmup_steps": 2}


@pytest.fixture(scope="module")
def validated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """56 patterns of 7 classes to train on, 14 to validate on: no batch size fits."""
    folder = tmp_path_factory.mktemp("validated") / "data"
    return build_dataset(folder, num_classes=7, num_instances=8, validation=True)


def losses(output: Path) -> list[float]:
    lines = (output / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


@pytest.mark.parametrize("task", ["classification", "segmentation"])
def test_global_batches_are_the_same_for_any_processes_and_workers(
    dataset: Path, tmp_path: Path, task: str
) -> None:
    changes: dict[str, Any] = {"steps": 7, "global_batch_size": 12, "aug_repeats": 3}
    if task == "segmentation":
        dataset = write_masked(tmp_path / "masked")
        changes |= SEGMENT | {"decoder": "linear"}
    recipe = write_recipe(tmp_path / "r.yaml", **changes)
    script = str(Path(__file__).with_name("together.py"))
    words = [script, str(dataset), str(recipe), str(tmp_path)]
    # PyTorch warns where there are fewer CPUs than workers.
    alone = start_all(["-W", "ignore:This DataLoader will", *words, "0", "2"], 1)
    both = start_all(["-W", "ignore:This DataLoader will", *words, "0", "2", "3"], 2)
    for code, _, errors in finish(alone) + finish(both):
        assert code == 0, errors
    expected = np.load(tmp_path / "1x0.npz")
    assert expected["images"].shape == (7, 12, 3, 32, 32)
    assert expected["labels"].shape == ((7, 12, 32, 32) if task == "segmentation" else (7, 12))
    for name in ("1x2", "2x0", "2x2", "2x3"):
        found = np.load(tmp_path / f"{name}.npz")
        assert np.array_equal(found["images"], expected["images"]), name
        assert np.array_equal(found["labels"], expected["labels"]), name


def test_two_processes_equal_one(validated: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", steps=20, model_ema="true", **QUIET)
    words = ["pretrain", "--recipe", recipe, "--data", validated, "--output"]
    alone = CliRunner().invoke(main, [str(word) for word in [*words, tmp_path / "one"]])
    assert alone.exit_code == 0, alone.output
    first, second = train_together(*words, tmp_path / "two")
    assert first[0] == second[0] == 0, first[2] + second[2]
    assert second[1] == ""  # one speaks for both
    assert all(line.startswith("waiting for process 0 ") for line in second[2].splitlines())
    assert "(8 at once in each of 2 processes)" in first[1]
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-4)
    saved = [checkpoint.load(tmp_path / name / "last.pth.tar") for name in ("one", "two")]
    assert saved[0]["latest"] == saved[1]["latest"]
    for part in ("model", "model_ema"):
        for name, weight in saved[0][part].items():
            assert torch.allclose(weight, saved[1][part][name], atol=2e-4), name
    with (tmp_path / "two" / "summary.csv").open() as file:
        (*_, row) = csv.DictReader(file)
    # Of 14 samples, so a share of fourteenths: none is counted twice or left out.
    assert float(row["val_top1"]) * 14 / 100 == pytest.approx(round(float(row["val_top1"]) * 0.14))


def test_a_stopped_pair_goes_on_from_where_it_stopped(validated: Path, tmp_path: Path) -> None:
    """The signal reaches one process; both stop at the same step."""
    recipe = write_recipe(tmp_path / "r.yaml", steps=60, checkpoint_every=100, **QUIET)
    words = ["pretrain", "--recipe", recipe, "--data", validated, "--resume", "auto", "--output"]
    train_together(*words, tmp_path / "whole")
    output = tmp_path / "stopped"
    processes = start_all(["-m", "fdsl_train.cli", *map(str, words), str(output)], 2)
    wait_for_lines(output / "metrics.jsonl", 1, *processes)
    os.kill(processes[1].pid, signal.SIGUSR1)
    (code, _, said), (other, _, silent) = finish(processes)
    assert code == other == 75, said + silent
    assert "stopped by a signal to another process after step" in said
    assert "Traceback" not in said + silent
    step = checkpoint.load(output / "last.pth.tar")["step"]
    assert 0 < step < 60 and step % 10 == 0
    for code, _, errors in train_together(*words, output):
        assert code == 0, errors
    assert losses(output) == losses(tmp_path / "whole")


def test_a_refusal_in_one_process_ends_all(tmp_path: Path) -> None:
    def spoil(samples: list) -> list:
        samples[1] = type(samples[1])("00007_00009", (("png", b"not a PNG"), ("cls", b"7")))
        return samples

    folder = build_dataset(tmp_path / "d", edit=spoil)
    recipe = write_recipe(tmp_path / "r.yaml", decoded_cache=0)
    done = train_together(
        "pretrain", "--recipe", recipe, "--data", folder, "--output", tmp_path / "o"
    )
    assert sorted({code for code, _, _ in done}) in ([1, 2], [2])
    said = "".join(errors for _, _, errors in done)
    assert "sample 00007_00009: the image is damaged" in said
    assert "Traceback" not in said


def test_what_all_processes_refuse_is_said_once(dataset: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", global_batch_size=17, mixup=0, cutmix=0)
    done = train_together(
        "pretrain", "--recipe", recipe, "--data", dataset, "--output", tmp_path / "o"
    )
    assert [code for code, _, _ in done] == [2, 2]
    said = "".join(errors for _, _, errors in done)
    assert said.count("17 images cannot be shared evenly by 2 processes") == 1


def test_torchrun_starts_a_run(dataset: Path, tmp_path: Path) -> None:
    import subprocess

    recipe = write_recipe(tmp_path / "r.yaml", steps=3, warmup_steps=0)
    words = ["pretrain", "--recipe", recipe, "--data", dataset, "--output", tmp_path / "out"]
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port()}"]
    done = subprocess.run(
        [sys.executable, *launcher, "-m", "fdsl_train.cli", *map(str, words)],
        env=environment() | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert "all 3 steps done" in done.stdout
    assert (tmp_path / "out" / "export" / "model.safetensors").exists()
