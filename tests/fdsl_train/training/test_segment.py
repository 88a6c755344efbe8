"""Runs on masks: from shards and folders, interrupted, divided, and what is refused."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fdsl_train import evaluate
from fdsl_train.distributed.group import Group
from fdsl_train.distributed.launch import Process
from fdsl_train.models.architecture import architecture_of, create_model
from fdsl_train.tasks.segmentation import Overlap, Segmentation
from fdsl_train.training import checkpoint
from fdsl_train.training.train_step import Learner
from tests.fdsl_train.conftest import FINETUNE, run, write_recipe
from tests.fdsl_train.scenes import CLASSES, write_scenes
from tests.fdsl_train.training.segment import SEGMENT, resolved, write_masked
from tests.fdsl_train.training.test_resume import logged

STEPS = 10


@pytest.fixture(scope="session")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 images of contours with masks of 4 classes; do not change it."""
    return write_masked(tmp_path_factory.mktemp("masked") / "segrcdb")


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as of ADE20k; do not change it."""
    return write_scenes(tmp_path_factory.mktemp("scenes") / "scenes")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With everything that draws random numbers or keeps a state switched on."""
    return write_recipe(
        tmp_path_factory.mktemp("recipe") / "tiny.yaml", **SEGMENT, steps=STEPS,
        model_ema="true", model_ema_decay=0.9, grad_accum_steps=2, clip_grad=1.0, aug_repeats=2,
        layer_decay=0.8, global_batch_size=8, sched="poly", amp="true",
    )  # fmt: skip


def pretrain(recipe: Path, data: Path, output: Path) -> list[Any]:
    words = ["pretrain", "--recipe", recipe, "--data", data, "--output", output, "--resume", "auto"]
    return [*words, "--workers"]


@pytest.fixture(scope="module")
def uninterrupted(recipe: Path, masked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("run") / "out"
    result = run(*pretrain(recipe, masked, output), "0")
    assert result.exit_code == 0, result.output
    return output


def test_a_plain_transformer_gets_dpt(uninterrupted: Path) -> None:
    assert checkpoint.load(uninterrupted / "last.pth.tar")["config"]["decoder"] == "dpt"


def learner(folder: Path, **changes: Any) -> Learner:
    plain = {"decoder": "linear", "drop_path": 0, "warmup_steps": 0, "warmup_lr": 1e-4}
    config = resolved(folder, **plain, **changes)
    model = create_model(architecture_of(config), num_classes=5, drop_path=0, seed=0)
    model.get_submodule("dropout").p = 0.0
    task = Segmentation(config, 5)
    return Learner(config, task, model, Group(Process(), torch.device("cpu")))


def test_the_rate_falls_by_layers_and_rises_above_the_encoder(tmp_path: Path) -> None:
    trained = learner(tmp_path, layer_decay=0.5, decoder_lr_scale=10.0, weight_decay=0.01)
    groups = {
        id(weight): group for group in trained._optimizer.param_groups for weight in group["params"]
    }
    own = {name: groups[id(weight)] for name, weight in trained.model.named_parameters()}
    scales, decays = ({n: g[key] for n, g in own.items()} for key in ("lr_scale", "weight_decay"))
    assert scales["head.weight"] == 10
    assert scales["encoder.norm.weight"] == 0.5  # timm counts it with the last block
    assert scales["encoder.blocks.1.mlp.fc1.weight"] == 0.5
    assert scales["encoder.patch_embed.proj.weight"] == 0.125
    assert decays["encoder.pos_embed"] == 0 == decays["head.bias"]
    assert decays["head.weight"] == 0.01 == decays["encoder.blocks.0.mlp.fc1.weight"]


TUNED = FINETUNE | SEGMENT | {
    "task": "segmentation", "epochs": 2, "global_batch_size": 8, "resize_ratio": [0.8, 1.25],
    "img_size": 32, "mean": [0.4] * 3, "std": [0.3] * 3, "log_every": 1,
}  # fmt: skip


@pytest.mark.slow
def test_a_folder_from_pretraining_to_pictures(
    uninterrupted: Path, scenes: Path, tmp_path: Path
) -> None:
    recipe = write_recipe(tmp_path / "tuned.yaml", **TUNED)
    words = ["finetune", "--recipe", recipe, "--data", scenes, "--checkpoint"]
    done = run(*words, uninterrupted, "--keep-decoder", "--output", tmp_path / "a")
    assert done.exit_code == 0, done.output
    assert "its own decoder (dpt), new head for 4 classes" in done.output
    assert "best: mean IoU " in done.output and "on validation" in done.output
    with (tmp_path / "a" / "summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {"val_miou", "val_macc", "val_pacc", "pacc"} <= rows[-1].keys()
    asked = ["--report", tmp_path / "r.csv", "--confusion", tmp_path / "c.png"]
    done = run(
        "eval", tmp_path / "a", "--data", scenes, *asked, "--overlay", tmp_path / "seen",
        "--workers", "0",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    with (tmp_path / "r.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [row["name"] for row in table] == ["ground", "red", "green", "blue", ""]
    pixels = 6 * 48 * 56  # of six images in two sizes
    assert int(table[-1]["pixels"]) == pixels == sum(int(row["pixels"]) for row in table[:-1])
    assert float(table[-1]["iou"]) == pytest.approx(float(rows[-1]["val_miou"]), abs=0.01)
    assert len(list((tmp_path / "seen").glob("*.png"))) == 6
    with Image.open(tmp_path / "seen" / "000000.png") as picture:
        assert picture.width > 1000
    measured = evaluate(tmp_path / "a" / "export", scenes)
    assert isinstance(measured, Overlap) and len(measured.confusion) == CLASSES
    refused = run("eval", tmp_path / "a", "--data", scenes, "--corrupt", "fog:1")
    assert refused.exit_code == 2 and "--corrupt is for classifiers" in refused.output


@pytest.mark.slow
def test_classes_and_masks_start_each_other(
    uninterrupted: Path, digits: Path, scenes: Path, tmp_path: Path
) -> None:
    recipe = write_recipe(tmp_path / "c.yaml", **(FINETUNE | {"epochs": 0.2, "warmup_epochs": 0}))
    words = ["finetune", "--recipe", recipe, "--data", digits, "--checkpoint"]
    done = run(*words, uninterrupted, "--output", tmp_path / "classes")
    assert done.exit_code == 0, done.output
    mixed = TUNED | {"epochs": 1, "warmup_epochs": 0}
    recipe = write_recipe(tmp_path / "m.yaml", **mixed)
    words = ["finetune", "--recipe", recipe, "--data", scenes, "--checkpoint"]
    done = run(*words, tmp_path / "classes", "--decoder", "linear", "--output", tmp_path / "masks")
    assert done.exit_code == 0, done.output
    assert "new decoder (linear)" in done.output
    saved = checkpoint.load(tmp_path / "masks" / "last.pth.tar")
    assert {name.split(".")[0] for name in saved["model"]} == {"encoder", "head"}


@pytest.mark.slow
def test_two_processes_equal_one(scenes: Path, tmp_path: Path) -> None:
    from tests.fdsl_train.distributed.together import train_together

    plain = {"decoder": "linear", "drop_path": 0, "photometric": 0, "epochs": 1}
    changes = TUNED | plain | {"model": "vit_tiny_patch16_224", "patch_size": 8, "embed_dim": 32}
    changes |= {"depth": 2, "num_heads": 2, "warmup_epochs": 0, "lr": 1e-3}
    recipe = write_recipe(tmp_path / "r.yaml", **changes)
    words = ["finetune", "--from-scratch", "--recipe", recipe, "--data", scenes, "--output"]
    alone = run(*words, tmp_path / "one")
    assert alone.exit_code == 0, alone.output
    first, second = train_together(*words, tmp_path / "two")
    assert first[0] == second[0] == 0, first[2] + second[2]
    saved = [checkpoint.load(tmp_path / name / "last.pth.tar") for name in ("one", "two")]
    for name, value in saved[0]["latest"].items():
        assert saved[1]["latest"][name] == pytest.approx(value, abs=2.0), name
    for left, right in zip(logged(tmp_path / "one"), logged(tmp_path / "two"), strict=True):
        assert left["loss"] == pytest.approx(right["loss"], rel=0.05)


WRONG = {
    "data with labels": (["--task", "segmentation"], "holds no images with masks"),
    "keep decoder": (["--keep-decoder"], "--keep-decoder: the data have labels, not masks"),
    "decoder": (["--decoder", "dpt"], "decoder: is for images whose pixels have classes"),
}


@pytest.mark.parametrize("how", WRONG)
def test_what_does_not_fit_is_refused(
    uninterrupted: Path, digits: Path, tmp_path: Path, how: str
) -> None:
    words, sentence = WRONG[how]
    recipe = write_recipe(tmp_path / "r.yaml", **FINETUNE)
    done = run(
        "finetune", "--recipe", recipe, "--data", digits, "--checkpoint", uninterrupted,
        "--output", tmp_path / "out", *words,
    )  # fmt: skip
    assert done.exit_code == 2 and sentence in done.output, done.output


def test_masks_come_from_shards_and_from_recipes(masked: Path) -> None:
    from fdsl_train.data.sources.formula import FormulaData
    from fdsl_train.data.sources.shards import open_split, read_dataset

    source = open_split(masked, read_dataset(masked), "train")
    sample = source.read_sample(0, 0)
    assert source.num_classes == 4 and np.asarray(sample.label).shape == (32, 32)
    assert {int(label) for label in np.unique(np.asarray(sample.label))} <= {0, 1, 2, 3}
    text = "recipe:segrcdb?num_categories=3&num_images=12&image_size=32&num_shards=2&num_objects=4"
    drawn = FormulaData(text).split("train").read_sample(0, 0)
    assert np.array_equal(np.asarray(drawn.label), np.asarray(sample.label))
    assert np.array_equal(np.asarray(drawn.image), np.asarray(sample.image))
