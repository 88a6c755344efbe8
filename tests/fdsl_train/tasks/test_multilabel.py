"""Several labels per image: read, weighted, measured, trained."""

import math
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from fdsl_gen import Recipe, generate, load_recipe
from fdsl_gen.dataset.reader import open_dataset
from fdsl_train.cli.main import main
from fdsl_train.config import load_config
from fdsl_train.data.loader import Loader
from fdsl_train.data.sampler import Sequential
from fdsl_train.data.sources.shards import open_split, read_dataset
from fdsl_train.tasks.multilabel import MultiLabel, Recall
from fdsl_train.transforms import eval_transform
from tests.fdsl_train.conftest import write_recipe


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 small scenes of fractals of 8 categories, 8 of them for validation."""
    folder = tmp_path_factory.mktemp("scenes") / "data"
    recipe: Recipe = load_recipe(
        "multi-fractal", num_categories=8, num_images=48, validation_instances=8, num_shards=2,
        image_size=32, num_points=2000,
    )  # fmt: skip
    generate(recipe, folder, workers=1)
    return folder


def test_targets_are_the_labels_of_the_scenes(scenes: Path, tmp_path: Path) -> None:
    source = open_split(scenes, read_dataset(scenes), "train")
    config = load_config(str(write_recipe(tmp_path / "r.yaml")), "pretrain", {}).resolve(40)
    plan = Sequential(source.shard_sizes, 16)
    batches = Loader(
        source,
        plan,
        eval_transform(config.input_spec),
        seed=0,
        batches=range(plan.num_batches),
        workers=0,
    )
    targets = torch.cat([batch.labels for batch in batches])
    assert targets.shape == (40, 8) and targets.dtype == torch.float32
    data = open_dataset(scenes)
    stored = [sorted(set(data[key].labels)) for key in list(data)[:40]]
    assert [row.nonzero().flatten().tolist() for row in targets] == stored
    assert any(len(labels) > 1 for labels in stored)


def test_positives_weigh_as_much_as_all_classes(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", mixup=0, cutmix=0, smoothing=0)
    task = MultiLabel(load_config(str(recipe), "pretrain", {}).resolve(10), 4)
    logits = torch.tensor([[2.0, -1.0, 0.5, 0.0], [1.0, 1.0, 1.0, -3.0]])
    labels = torch.tensor([[1.0, 0, 0, 0], [1.0, 0, 0, 1]])
    total = 0.0
    for row in range(2):
        positives = int(labels[row].sum())
        for column in range(4):
            x, y = float(logits[row, column]), float(labels[row, column])
            weight = 4 / positives if y else 1.0
            total -= weight * math.log(1 / (1 + math.exp(-x if y else x)))
    outcome = task.step(torch.nn.Identity(), type("B", (), {"images": logits, "labels": labels})())
    assert float(outcome.loss) == pytest.approx(total / 8, rel=1e-6)
    assert float(outcome.metrics["recall"]) == pytest.approx(2 / 3)


def test_recall_counts_over_batches() -> None:
    recall = Recall()
    recall.update(torch.tensor([[3.0, 2, 1]]), torch.tensor([[1.0, 0, 1]]))  # 1 of 2
    recall.update(torch.tensor([[1.0, 2, 3], [3, 2, 1]]), torch.tensor([[0.0, 1, 1], [0, 0, 1]]))
    assert recall.counts() == [3.0, 3, 1.0, 1.0, 3.0]  # found, images, labels of each class
    assert recall.percent(recall.counts()) == {"val_recall": 60.0}


def test_a_run_on_scenes(scenes: Path, tmp_path: Path) -> None:
    quiet = {"mixup": 0, "cutmix": 0, "smoothing": 0, "aa": None, "reprob": 0, "drop_path": 0}
    recipe = write_recipe(tmp_path / "r.yaml", steps=20, lr=3e-3, sched="onecycle", **quiet)
    words = ["pretrain", "--recipe", recipe, "--data", scenes, "--output", tmp_path / "out"]
    result = CliRunner().invoke(main, list(map(str, words)))
    assert result.exit_code == 0, result.output
    assert "last: recall" in result.output and "(a guess: " in result.output
    mixed = CliRunner().invoke(main, [*map(str, words[:-1]), str(tmp_path / "b"), "--mixup", "0.8"])
    assert mixed.exit_code == 2
    assert "mixup, cutmix and smoothing are for images with one label" in mixed.stderr
