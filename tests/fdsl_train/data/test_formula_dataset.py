"""A recipe as a dataset of PyTorch: the images of the shards, in loaders of any start method."""

import importlib.util
import pickle
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from fdsl_gen import generate, load_recipe, open_dataset
from fdsl_gen.core.errors import UsageError
from fdsl_train import FormulaDataset
from tests import ROOT

SMALL = {"num_categories": 6, "num_instances": 4, "image_size": 48, "num_points": 500}
NAME = "exfractaldb-1k"  # its categories are searched


@pytest.fixture(scope="module")
def dataset() -> FormulaDataset:
    return FormulaDataset(NAME, num_shards=3, **SMALL)


def test_items_are_those_of_the_dataset_on_disk(dataset: FormulaDataset, tmp_path: Path) -> None:
    generate(dataset.recipe, tmp_path / "d", workers=1)
    stored = open_dataset(tmp_path / "d")
    assert len(dataset) == len(stored) == 24
    for (image, label), key in zip(dataset, stored, strict=True):
        assert np.array_equal(image[0], stored[key].image)
        assert label == stored[key].label
    assert torch.equal(dataset[-1][0], dataset[23][0])
    with pytest.raises(IndexError, match="sample 24 of 24"):
        dataset[24]


def images(dataset: FormulaDataset, **how: Any) -> torch.Tensor:
    return torch.cat([batch for batch, _ in DataLoader(dataset, batch_size=5, **how)])


# PyTorch warns where there are fewer CPUs than workers; the images are what matters (2026-11).
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
@pytest.mark.parametrize(
    "method",
    [
        "fork",
        pytest.param("spawn", marks=pytest.mark.slow),
        pytest.param("forkserver", marks=pytest.mark.slow),
    ],
)
def test_loader_processes_draw_the_same_images(dataset: FormulaDataset, method: str) -> None:
    there = images(dataset, num_workers=2, multiprocessing_context=method)
    assert torch.equal(there, images(dataset))


def test_a_copy_is_small() -> None:
    large = FormulaDataset("rcdb-1k")
    large[999_999]
    assert len(pickle.dumps(large)) < 50_000


def test_a_transform_gets_rgb_and_may_be_set_later(dataset: FormulaDataset) -> None:
    copy = pickle.loads(pickle.dumps(dataset))
    copy.transform = lambda image: (image.mode, image.size)
    assert copy[0][0] == ("RGB", (48, 48))


def test_labels_of_every_type() -> None:
    several = FormulaDataset("recipe:multi-fractal?num_categories=5&num_images=4&num_shards=1")
    image, label = several[0]
    assert image.shape == (3, 224, 224) and label.shape == (5,)
    assert 1 <= label.sum() <= 5 and set(label.tolist()) <= {0.0, 1.0}
    image, mask = FormulaDataset("segrcdb", num_images=4, num_shards=1, image_size=64)[1]
    assert mask.shape == image.shape[1:] == (64, 64)
    assert mask.dtype == torch.int64 and mask.max() <= 254
    _, (numbers, labels) = FormulaDataset("inscore", num_images=2, num_shards=1, image_size=64)[1]
    assert numbers.shape == (64, 64) and numbers.max() == len(labels)


def test_a_validation_part_and_a_recipe_of_ones_own(tmp_path: Path) -> None:
    recipe = load_recipe("rcdb-1k", num_categories=3, num_instances=4, validation_instances=1)
    assert len(FormulaDataset(recipe)) == 9
    assert sorted(label for _, label in FormulaDataset(recipe, split="validation")) == [0, 1, 2]
    for given in (recipe, "recipe:rcdb-1k"):
        with pytest.raises(UsageError, match="seed: settings go with the name of a recipe"):
            FormulaDataset(given, seed=3)
    with pytest.raises(UsageError, match="fractal-1 has no test split"):
        FormulaDataset("fractal-1", split="test")


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("name", "count"), [("plain_loop", 6), ("timm_loop", 2)])
def test_loops_of_others_train_with_it(name: str, count: int) -> None:
    torch.manual_seed(0)
    settings = "&".join(f"{key}={value}" for key, value in SMALL.items())
    losses = example(name).train(f"recipe:{NAME}?{settings}", count, workers=0)
    assert len(losses) == count and all(np.isfinite(losses))
