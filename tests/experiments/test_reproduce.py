"""Rows of papers at a small scale: real stages, killed in each and begun again."""

import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from experiments.reproduce.__main__ import main
from experiments.reproduce.rows import (
    dataset_of,
    finetuning_settings,
    pretraining_settings,
    read_rows,
)
from fdsl_gen.recipe.order import shards_of
from fdsl_train.config import load_config
from tests import ROOT

ROWS = read_rows()
ROW = "1p-frac-cifar100"


@pytest.fixture
def photos(tmp_path):
    """A stand-in for CIFAR-100: two classes that differ in brightness."""
    random = np.random.default_rng(0)
    for part, count in (("train", 12), ("val", 4)):
        for k, name in enumerate(("dark", "light")):
            folder = tmp_path / "photos" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(120 * k, 120 * k + 120, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "photos"


def begin(work, photos, *more):
    command = [sys.executable, "-m", "experiments.reproduce", ROW, "--scale=0.001"]
    command += [f"--work={work}", f"--data={photos}", *more]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def killed_in(stage, work, photos, until):
    """Begin, kill in a stage once a file is there; what was said."""
    said = []
    with begin(work, photos) as process:
        for line in process.stdout:
            said.append(line)
            if line.startswith(f"stage {stage} of 3"):
                break
        while until is not None and not (work / until).exists():
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        said += process.stdout
    assert process.returncode == -signal.SIGKILL
    assert said[-1].startswith(f"stage {stage} of 3") or until is not None
    return "".join(said)


@pytest.mark.slow
def test_a_row_that_is_killed_in_each_stage_goes_on(tmp_path, photos):
    work = tmp_path / "work"
    killed_in(1, work, photos, None)
    assert not (work / "pretrain").exists()
    killed_in(2, work, photos, "pretrain/last.pth.tar")
    said = killed_in(3, work, photos, "finetune/last.pth.tar")
    assert re.search(r"^  from step \d+ to 240 of ", said, re.M), said
    with begin(work, photos) as process:
        output = process.stdout.read()
    assert process.returncode == 0, output
    assert f"{work / 'pretrain'} is finished already: all 240 steps are done" in output
    assert re.search(r"^  from step \d+ to 65 of |all 65 steps are done", output, re.M), output
    *_, head, published, measured, warning = output.splitlines()
    assert head == f"{ROW}: top-1 accuracy on val of {photos}, percent"
    assert published.startswith("  published   84.2 (Nakamura et al.")
    assert re.fullmatch(r"  measured    \d+\.\d best, chosen by val; \d+\.\d last", measured)
    assert warning.startswith("  not the row itself")
    assert (work / "result.txt").read_text() == "\n".join(output.splitlines()[-4:]) + "\n"


@pytest.mark.parametrize("name", ROWS)
def test_a_whole_row_is_told_what_its_recipes_say(name):
    row = ROWS[name]
    tuned = finetuning_settings(row, 1, 1, 50_000)
    assert tuned == ({"model": "vit_tiny_patch16_224"} if row.dataset is None else {})
    if row.dataset is not None:
        assert dataset_of(row, 1).name == row.dataset
        assert pretraining_settings(row, 1, 1) == {}


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("scale", [0.0001, 0.001, 0.3])
def test_a_small_row_can_be(name, scale):
    row = ROWS[name]
    tuned = finetuning_settings(row, scale, 2, 30)
    config = load_config("finetune-small", "finetune", tuned, 2)
    assert config.global_batch_size <= 30 and config.global_batch_size % 4 == 0
    if row.dataset is None:
        return
    recipe = dataset_of(row, scale)
    assert 16 <= recipe.num_categories <= 1000
    assert 16 <= recipe.num_samples <= 0.35 * 1_000_000
    assert all(shard.num_samples for shard in shards_of(recipe))
    told = pretraining_settings(row, scale, 2)
    resolved = load_config(recipe.train_recipe, "pretrain", told, 2).resolve(recipe.num_samples)
    assert resolved.warmup_steps < resolved.steps
    assert (resolved.device == "cpu") == (scale < 0.01)


def test_what_is_missing_is_told_before_the_first_stage(tmp_path):
    words = [ROW, f"--work={tmp_path / 'work'}", "--scale=0.001", f"--data={tmp_path / 'none'}"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    assert "have them first: --data FOLDER with train/CLASS/*" in done.output
    assert not (tmp_path / "work").exists()


def test_rows_are_listed_and_near_names_told():
    assert [line.split()[0] for line in CliRunner().invoke(main, []).output.splitlines()] == [*ROWS]
    done = CliRunner().invoke(main, ["1p-frac"])
    assert done.exit_code == 2
    assert "did you mean '1p-frac-cifar100'?" in done.output
