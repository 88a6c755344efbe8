"""The command from its flags to the files it leaves."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from click.testing import CliRunner, Result
from torch import Tensor

from fdsl_train.cli.main import main
from fdsl_train.training import checkpoint
from fdsl_train.training.train_step import Learner
from fdsl_train.transforms.batch import Batch
from tests.fdsl_train.conftest import build_dataset, environment, write_recipe


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def finished(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 60 steps without augmentation, done."""
    folder = tmp_path_factory.mktemp("run")
    recipe = write_recipe(
        folder / "tiny.yaml", steps=60, mixup=0, cutmix=0, aa=None, reprob=0, scale=[0.9, 1.0],
        lr=5e-3, log_every=10, checkpoint_every=25, smoothing=0, drop_path=0,
    )  # fmt: skip
    result = run("pretrain", "--recipe", recipe, "--data", dataset, "--output", folder / "out")
    assert result.exit_code == 0, result.output
    assert "60 steps of 16 images: 960 images, 30 epochs of 32" in result.output
    assert "vit_tiny_patch16_224" in result.output
    assert "on CPU (1 threads)" in result.output
    assert "next: fdsl-train finetune" in result.output
    return folder / "out"


def lines(output: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]


def test_the_loss_goes_down(finished: Path) -> None:
    logged = lines(finished)
    assert [line["step"] for line in logged] == [10, 20, 30, 40, 50, 60]
    assert logged[0]["loss"] > 1.9  # log(8) is 2.08
    assert logged[-1]["loss"] < 1.5
    assert logged[-1]["top1"] > 0.5
    for line in logged:
        assert line["images_per_s"] > 0
        assert 0 <= line["data_wait"] <= 1


def test_what_a_run_leaves(finished: Path) -> None:
    assert sorted(path.name for path in finished.iterdir()) == [
        "args.yaml", "data.json", "export", "last.pth.tar", "metrics.jsonl", "summary.csv",
        "tensorboard",
    ]  # fmt: skip
    with (finished / "summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["25", "50", "60"]
    assert list(rows[0]) == ["step", "epoch", "lr", "loss", "top1"]
    assert sorted(path.name for path in (finished / "export").iterdir()) == [
        "config.json", "model.safetensors",
    ]  # fmt: skip


def test_the_checkpoint_holds_plain_things_only(finished: Path) -> None:
    saved = torch.load(finished / "last.pth.tar", weights_only=True)
    assert saved["step"] == 60
    checkpoint.plain(saved)  # raises for anything else
    assert type(saved["model"]) is dict
    assert {"optimizer", "scaler", "config", "data"} <= saved.keys()


def test_the_export_loads_in_timm(finished: Path) -> None:
    model = timm.create_model(f"local-dir:{finished / 'export'}", pretrained=True)
    saved = checkpoint.load(finished / "last.pth.tar")
    weights = model.state_dict()
    assert weights.keys() == saved["model"].keys()
    assert all(torch.equal(weights[name], saved["model"][name]) for name in weights)
    settings = timm.data.resolve_model_data_config(model)
    assert settings["input_size"] == (3, 32, 32)
    assert tuple(settings["mean"]) == (0.5, 0.5, 0.5)
    assert model.num_classes == 8


def test_a_finished_run_says_so(finished: Path, dataset: Path) -> None:
    before = (finished / "metrics.jsonl").read_bytes()
    again = ("pretrain", "--recipe", finished / "args.yaml", "--data", dataset)
    result = run(*again, "--output", finished, "--resume", "auto")
    assert result.exit_code == 0
    assert "is finished already: all 60 steps are done" in result.output
    assert (finished / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ((), "holds a run already; continue it with --resume auto"),
        (("--resume", "auto", "--lr", "0.1"), "cannot be continued with other settings: lr is 0.1"),
        (("--resume", "auto", "--steps", "70"), "settings: steps is 70, was 60"),
        (("--resume", "auto", "--seed", "1"), "settings: seed is 1, was 0"),
    ],
)
def test_what_a_finished_run_refuses(
    finished: Path, dataset: Path, flags: tuple[str, ...], sentence: str
) -> None:
    again = ("pretrain", "--recipe", finished / "args.yaml", "--data", dataset)
    result = run(*again, "--output", finished, *flags)
    assert result.exit_code == 2
    assert sentence in result.stderr


def test_other_data_is_refused_on_resume(finished: Path, tmp_path: Path) -> None:
    other = build_dataset(tmp_path / "other", num_instances=5)
    again = ("pretrain", "--recipe", finished / "args.yaml", "--data", other)
    result = run(*again, "--output", finished, "--resume", "auto")
    assert result.exit_code == 2
    assert "was trained on other data" in result.stderr


def test_the_dataset_names_its_recipe(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "own.yaml", steps=3, warmup_steps=0, log_every=1)
    folder = build_dataset(tmp_path / "data", train_recipe=str(recipe))
    result = run("pretrain", "--data", folder, "--output", tmp_path / "out", "--batch-size", "4")
    assert result.exit_code == 0, result.output
    assert "3 steps of 4 images" in result.output


def test_a_batch_may_be_larger_than_the_dataset(tmp_path: Path) -> None:
    folder = build_dataset(tmp_path / "data", num_instances=1)
    recipe = write_recipe(tmp_path / "r.yaml", steps=3, warmup_steps=0, global_batch_size=20)
    result = run("pretrain", "--recipe", recipe, "--data", folder, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "60 images, 7.5 epochs of 8" in result.output


def test_a_loss_that_is_not_finite_stops_the_run(dataset: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", lr=1e30, warmup_steps=3)
    result = run("pretrain", "--recipe", recipe, "--data", dataset, "--output", tmp_path / "out")
    assert result.exit_code == 1
    assert "the loss is not finite after step 3; no checkpoint was due" in result.stderr
    assert [line["step"] for line in lines(tmp_path / "out")] == [1, 2]


def test_weights_that_are_not_finite_are_not_saved(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss of a step may be finite, and what the step did to the weights not."""
    take = Learner.train_step

    def spoil(learner: Learner, step: int, batch: Batch) -> dict[str, Tensor]:
        values = take(learner, step, batch)
        if step == 1:
            next(learner.model.parameters()).data.fill_(float("inf"))
        return values

    monkeypatch.setattr(Learner, "train_step", spoil)
    recipe = write_recipe(tmp_path / "r.yaml", checkpoint_every=1)
    result = run("pretrain", "--recipe", recipe, "--data", dataset, "--output", tmp_path / "out")
    assert result.exit_code == 1
    assert "the weights are not finite after step 2" in result.stderr
    assert "the last good checkpoint, of step 1, is" in result.stderr
    assert checkpoint.load(tmp_path / "out" / "last.pth.tar")["step"] == 1


def test_a_full_disk_is_a_sentence(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device", str(tmp_path / "out" / "last.pth.tar"))

    monkeypatch.setattr("fdsl_train.training.checkpoint.save", fail)
    recipe = write_recipe(tmp_path / "r.yaml")
    result = run("pretrain", "--recipe", recipe, "--data", dataset, "--output", tmp_path / "out")
    assert result.exit_code == 1
    assert result.stderr.strip().endswith("last.pth.tar: No space left on device")


def test_help_and_lists_come_without_torch() -> None:
    code = (
        "import sys\n"
        "from fdsl_train.cli.main import main\n"
        "for words in (['--help'], ['pretrain', '--help'], ['finetune', '--help'], ['list'],"
        " ['--version']):\n"
        "    try: main(words)\n"
        "    except SystemExit as done: assert not done.code, done.code\n"
        "loaded = {'torch', 'timm', 'numba'} & sys.modules.keys()\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "fdsl-train, version" in done.stdout
    assert "cpu-smoke " in done.stdout
    assert "--lr NUMBER" in done.stdout
