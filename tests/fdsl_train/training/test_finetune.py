"""From a checkpoint to real digits, and every kind of folder on the way."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from timm.layers import resample_abs_pos_embed

from fdsl_train.data.locate.dataset import DatasetLocation
from fdsl_train.data.open import DataSpec, open_train_val
from fdsl_train.models.adapt import build_from_pretrained
from fdsl_train.models.pretrained import read_pretrained
from fdsl_train.training import checkpoint
from fdsl_train.training.result import RunResult
from fdsl_train.training.run import Run
from tests.fdsl_train.conftest import FINETUNE, TINY, build_dataset, pattern, run, write_recipe


@pytest.fixture(scope="module")
def pretrained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short pre-training run."""
    folder = tmp_path_factory.mktemp("pretrained")
    plain = {
        "embed_dim": 64,
        "num_heads": 4,
        "mixup": 0,
        "cutmix": 0,
        "aa": None,
        "reprob": 0,
        "smoothing": 0,
        "lr": 2e-3,
    }
    recipe = write_recipe(folder / "tiny.yaml", steps=100, scale=[0.5, 1.0], **plain)
    result = run("pretrain", "--recipe", recipe, "--data", dataset, "--output", folder / "out")
    assert result.exit_code == 0, result.output
    return folder / "out"


@pytest.fixture(scope="module")
def tuned(pretrained: Path, digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fine-tuned on the digits, starting from the exported folder."""
    folder = tmp_path_factory.mktemp("tuned")
    recipe = write_recipe(folder / "r.yaml", **FINETUNE)
    result = run(
        "finetune", "--recipe", recipe, "--checkpoint", pretrained / "export", "--data", digits,
        "--output", folder / "out",
    )  # fmt: skip
    assert result.exit_code == 0, (result.output, result.exception)
    assert "new head for 10 classes" in result.output
    assert "last: top-1" in result.output
    assert "chosen by test" in result.output
    return folder / "out"


def test_digits_are_told_apart(tuned: Path) -> None:
    saved = checkpoint.load(tuned / "last.pth.tar")
    assert saved["latest"]["val_top1"] > 40  # chance: 10
    assert saved["best"]["val_top1"] >= saved["latest"]["val_top1"]
    assert saved["latest"]["val_top5"] > saved["latest"]["val_top1"]


def test_the_best_checkpoint_is_the_best(tuned: Path) -> None:
    best = checkpoint.load(tuned / "model_best.pth.tar")
    assert best["step"] == best["best"]["step"]
    rows = (tuned / "summary.csv").read_text().splitlines()
    assert rows[0] == "step,epoch,lr,loss,top1,val_top1,val_top5"
    assert len(rows) == 1 + 8
    top = max(float(row.split(",")[5]) for row in rows[1:])
    assert best["best"]["val_top1"] == top


def test_what_travels_in_the_export(tuned: Path) -> None:
    config = json.loads((tuned / "export" / "config.json").read_text())
    assert config["label_names"] == [f"digit {label}" for label in range(10)]
    assert config["pretrained_cfg"]["input_size"] == [3, 32, 32]
    assert config["pretrained_cfg"]["crop_pct"] == 1.0
    model = timm.create_model(f"local-dir:{tuned / 'export'}", pretrained=True)
    saved = checkpoint.load(tuned / "last.pth.tar")
    assert torch.equal(model.head.weight, saved["model"]["head.weight"])


@pytest.mark.parametrize("where", ["export", "last.pth.tar", "."])
def test_all_ways_to_name_the_start_are_the_same(pretrained: Path, where: str) -> None:
    saved = checkpoint.load(pretrained / "last.pth.tar")["model"]
    trained = read_pretrained(pretrained / where)
    model = build_from_pretrained(trained, num_classes=3, img_size=32, drop_path=0.0, seed=0)
    weights = model.state_dict()
    assert weights["head.weight"].shape == (3, 64)
    rest = [name for name in saved if not name.startswith("head.")]
    assert all(torch.equal(weights[name], saved[name]) for name in rest)


def test_another_input_size_moves_the_positions(pretrained: Path) -> None:
    trained = read_pretrained(pretrained)
    model = build_from_pretrained(trained, num_classes=3, img_size=48, drop_path=0.0, seed=0)
    assert model(torch.zeros(1, 3, 48, 48)).shape == (1, 3)
    before, after = trained.weights["pos_embed"], model.state_dict()["pos_embed"]
    assert torch.equal(after, resample_abs_pos_embed(before, [6, 6], num_prefix_tokens=1))
    assert torch.equal(after[:, 0], before[:, 0])  # of the class token, which has no place
    kept = {k for k, v in model.state_dict().items() if torch.equal(v, trained.weights[k])}
    assert {"pos_embed", "head.weight"} <= model.state_dict().keys() - kept
    assert model.state_dict().keys() - kept <= {"pos_embed", "head.weight", "head.bias"}


def test_an_interrupted_fine_tuning_continues(
    pretrained: Path, tuned: Path, digits: Path, tmp_path: Path
) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", **FINETUNE)
    output = tmp_path / "out"
    arguments = ["finetune", "--recipe", recipe, "--checkpoint", pretrained, "--data", digits]
    arguments += ["--output", output, "--resume", "auto"]
    with pytest.MonkeyPatch.context() as patch:
        calls = 0

        def stop(*_: object) -> None:
            nonlocal calls
            calls += 1
            if calls == 100:
                raise KeyboardInterrupt

        patch.setattr("fdsl_train.training.progress.Progress.step", stop)
        interrupted = run(*arguments)
    assert interrupted.exit_code == 130
    assert "--resume auto continues the run" in interrupted.stderr
    assert checkpoint.load(output / "last.pth.tar")["step"] == 60
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert (output / "summary.csv").read_text() == (tuned / "summary.csv").read_text()
    last = (tuned / "export" / "model.safetensors").read_bytes()
    assert (output / "export" / "model.safetensors").read_bytes() == last


def test_a_dataset_of_ours_with_a_validation_split(pretrained: Path, tmp_path: Path) -> None:
    folder = build_dataset(tmp_path / "data", validation=True)
    recipe = write_recipe(
        tmp_path / "r.yaml", **FINETUNE | {"opt": "sgd", "epochs": 2, "workers": 1}
    )
    result = run(
        "finetune", "--recipe", recipe, "--checkpoint", pretrained, "--data", folder,
        "--output", tmp_path / "out",
    )  # fmt: skip
    assert result.exit_code == 0, (result.output, result.exception)
    assert "chosen by validation" in result.output
    opened = open_train_val(DataSpec(place=DatasetLocation(data=folder)), val_split=None, seed=0)
    for part, instances in ((opened.train, range(4)), (opened.validation, range(4, 6))):
        rows = [(s, row) for s, size in enumerate(part.shard_sizes) for row in range(size)]
        samples = [part.read_sample(*row) for row in rows]
        found = sorted((sample.label, np.asarray(sample.image).tobytes()) for sample in samples)
        expected = [(label, pattern(label, i).tobytes()) for label in range(8) for i in instances]
        assert found == sorted(expected)
    # What the run says of its last weights is what they score on this part, measured apart.
    last = list(csv.DictReader((tmp_path / "out" / "summary.csv").read_text().splitlines()))[-1]
    measured = run("eval", tmp_path / "out" / "export", "--data", folder, "--workers", 0)
    top1, top5 = float(last["val_top1"]), float(last["val_top5"])
    assert f"top-1 {top1:.2f} %, top-5 {top5:.2f} % of 16 images, validation" in measured.output


@pytest.fixture
def about_to_train(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """What a command would train, instead of training it."""
    runs: list[Run] = []

    def train(run: Run, **_: object) -> RunResult:
        runs.append(run)
        return RunResult(output=run.output, steps=0, last={}, best={"step": 0})

    monkeypatch.setattr("fdsl_train.training.finetune.train", train)
    return runs


@pytest.mark.parametrize("start", ["--checkpoint", "--from-scratch"])
def test_drop_path_reaches_the_model(
    pretrained: Path, digits: Path, tmp_path: Path, about_to_train: list[Run], start: str
) -> None:
    sizes = ("model", "img_size", "patch_size", "embed_dim", "depth", "num_heads")
    fresh = {name: TINY[name] for name in sizes} if start == "--from-scratch" else {}
    recipe = write_recipe(tmp_path / "r.yaml", **FINETUNE | {"drop_path": 0.25, **fresh})
    flags = ["--checkpoint", pretrained] if start == "--checkpoint" else ["--from-scratch"]
    result = run(
        "finetune", "--recipe", recipe, *flags, "--data", digits, "--output", tmp_path / "out"
    )
    assert result.exit_code == 0, (result.output, result.exception)
    first, last = about_to_train[0].model.blocks
    assert isinstance(first.drop_path1, torch.nn.Identity)  # the rate rises from 0
    assert last.drop_path1.drop_prob == last.drop_path2.drop_prob == 0.25


@pytest.mark.parametrize(("flags", "part"), [((), "model"), (("--use-ema",), "model_ema")])
def test_the_moving_average_is_taken_on_request_only(
    dataset: Path, digits: Path, tmp_path: Path, about_to_train: list[Run],
    flags: tuple[str, ...], part: str,
) -> None:  # fmt: skip
    averaged = {"steps": 3, "warmup_steps": 0, "model_ema": "true", "model_ema_decay": 0.5}
    recipe = write_recipe(tmp_path / "p.yaml", lr=0.01, **averaged)
    first = tmp_path / "first"
    done = run("pretrain", "--recipe", recipe, "--data", dataset, "--output", first)
    assert done.exit_code == 0, (done.output, done.exception)
    saved = checkpoint.load(first / "last.pth.tar")
    name = "blocks.0.mlp.fc1.weight"
    assert not torch.equal(saved["model"][name], saved["model_ema"][name])
    result = run(
        "finetune", "--recipe", write_recipe(tmp_path / "r.yaml", **FINETUNE), "--checkpoint",
        first / "last.pth.tar", "--data", digits, "--output", tmp_path / "out", *flags,
    )  # fmt: skip
    assert result.exit_code == 0, (result.output, result.exception)
    weights = about_to_train[0].model.state_dict()
    assert torch.equal(weights[name], saved[part][name])


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--checkpoint", "nothing.pth.tar"), "no such checkpoint: nothing.pth.tar"),
        (("--checkpoint", "."), "holds neither last.pth.tar nor an exported config.json"),
        (("--depth", "7"), "was trained with 2, not 7; leave it out"),
        (("--data", "nothing"), "cannot read the folder nothing"),
        (("--recipe", "cpu_smoke"), "is for fdsl-train pretrain, not finetune"),
        (("--model", "resnet18"), "was trained with vit_tiny_patch16_224, not resnet18"),
    ],
)
def test_starts_that_cannot_be(
    pretrained: Path, digits: Path, tmp_path: Path, flags: tuple[str, ...], sentence: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    recipe = write_recipe(tmp_path / "r.yaml", **FINETUNE)
    given = {"--recipe": recipe, "--checkpoint": pretrained, "--data": digits, "--output": "out"}
    result = run("finetune", *(x for pair in given.items() for x in pair), *flags)
    assert result.exit_code == 2, (result.output, result.exception)
    assert sentence in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_the_default_recipe_is_for_a_gpu(pretrained: Path, digits: Path, tmp_path: Path) -> None:
    given = ("--checkpoint", pretrained, "--data", digits, "--output", tmp_path / "out")
    result = run("finetune", *given)
    assert result.exit_code == 2
    assert "use --recipe cpu-finetune" in result.stderr
