"""The transfer evidence at toy size: real commands, real digits, a few steps."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from sklearn.datasets import load_digits

from experiments.transfer.__main__ import compare, read_rows
from experiments.transfer.digits import Digits, choose, write_draw
from experiments.transfer.plan import PLAN, Plan, load_plan
from fdsl_gen.core import settings
from fdsl_gen.core.errors import UsageError
from fdsl_train.config import load_config, training_recipes
from fdsl_train.trial.arms import Arm
from tests import ROOT

pytestmark = pytest.mark.slow  # starts processes

TOY = {"embed_dim": 16, "depth": 1, "num_heads": 2, "patch_size": 14, "steps": 4}
TOY |= {"global_batch_size": 8, "warmup_steps": 1, "log_every": 1}


def toy_plan(folder) -> Plan:
    """The recipes of the real plan, cut down, and one arm."""
    for purpose in ("pretrain", "finetune"):
        recipe = settings.load_yaml(training_recipes() / f"transfer-{purpose}.yaml") | TOY
        text = settings.canonical_json(recipe)  # JSON is YAML
        (folder / f"toy_{purpose}.yaml").write_text(text)
    command = "linedb-16 --num-categories 3 --num-instances 4 --image-size 32 --num-shards 2"
    return Plan(
        pretrain=str(folder / "toy_pretrain.yaml"),
        finetune=str(folder / "toy_finetune.yaml"),
        labels=2,
        draws=(0, 1),
        arms=(Arm(name="scratch"), Arm(name="lines", dataset=command, control=True)),
    )


@pytest.fixture(scope="module")
def few() -> Digits:
    """Six real digits of each kind, 8x8."""
    digits = load_digits()
    kept = choose(digits.target, 6, 0)
    return Digits((15 * digits.images[kept]).astype(np.uint8), digits.target[kept])


def test_a_comparison_runs_adds_up_and_resumes(tmp_path, few):
    work, docs = tmp_path / "work", tmp_path / "docs"
    docs.mkdir()
    plan = toy_plan(tmp_path)
    said: list[str] = []
    compare(plan, few, work, docs, 2, said.append)

    scratch, lines = read_rows(plan, work)
    assert lines.pretraining.steps == 4
    assert lines.pretraining.chance == pytest.approx(np.log(3))
    assert lines.gains == [a - b for a, b in zip(lines.top1, scratch.top1, strict=True)]
    text = (docs / "transfer.md").read_text()
    draws = [f"{value:.1f}" for value in lines.top1]
    assert f"| {' | '.join([*draws, f'{lines.mean:.1f}', f'{lines.gain:+.1f}'])} |" in text
    assert text.count("fdsl-train finetune") == text.count("--from-scratch") + 1 == 2
    assert (docs / "transfer.png").read_bytes().startswith(b"\x89PNG")
    assert str(tmp_path) not in re.sub(r"--recipe=\S+", "", text)

    # A piece that is lost is made again, to the same figure; the others are kept.
    record = work / "finetuned" / "lines-1.done.json"
    record.unlink()
    kept = {path: path.stat().st_mtime_ns for path in work.rglob("*.done.json")}
    said.clear()
    compare(plan, few, work, docs, 1, said.append)
    assert [line for line in said if " done;" in line] == [
        line for line in said if line.startswith("1 of 1: fine-tuning lines, draw 1 done;")
    ]
    assert kept == {path: path.stat().st_mtime_ns for path in kept}
    assert record.exists()
    assert read_rows(plan, work) == [scratch, lines]

    recipe = tmp_path / "toy_finetune.yaml"
    recipe.write_text(recipe.read_text().replace('"smoothing":0.1', '"smoothing":0.2'))
    with pytest.raises(UsageError, match="other settings"):
        compare(plan, few, work, docs, 1, said.append)


WAITING = """
import os, time
from fdsl_train.trial.pieces import one_threaded
if __name__ == "__main__":
    with one_threaded(1) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        time.sleep(60)
"""


def test_idle_workers_end_with_their_parent(tmp_path):
    script = tmp_path / "waiting.py"
    script.write_text(WAITING)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        worker = int(parent.stdout.readline())
        os.kill(worker, 0)  # it is there
        parent.send_signal(signal.SIGKILL)
    for _ in range(100):
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("the worker is still there after 10 s")


def test_draws_part_all_digits_and_are_balanced(tmp_path, few):
    folders = [tmp_path / str(seed) for seed in (0, 1)]
    for seed, folder in enumerate(folders):
        write_draw(folder, few, 2, seed)
    trained = [{path.name for path in (folder / "train").rglob("*.png")} for folder in folders]
    for folder, own in zip(folders, trained, strict=True):
        others = {path.name for path in (folder / "val").rglob("*.png")}
        assert len(own) == 20 and len(others) == 40 and not own & others
        assert {len(list(home.iterdir())) for home in (folder / "train").iterdir()} == {2}
    assert trained[0] != trained[1]
    with pytest.raises(UsageError, match="labels"):
        choose(few.labels, 6, 0)


def test_the_plan_fits_its_recipes_and_has_a_control():
    plan = load_plan(PLAN)
    pretrain = load_config(plan.pretrain, "pretrain", {})
    finetune = load_config(plan.finetune, "finetune", {})
    for name in ("model", "img_size", "patch_size", "embed_dim", "depth", "num_heads"):
        assert getattr(pretrain, name) == getattr(finetune, name), name
    assert (pretrain.threads, finetune.threads) == (1, 1)
    assert sum(arm.control for arm in plan.arms) >= 1
    assert len(plan.draws) >= 3
    assert len(plan.arms) >= 5
