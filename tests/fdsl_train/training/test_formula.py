"""A run from a recipe equals the run from its shards to the last bit, for every kind of dataset."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fdsl_gen import generate, load_recipe
from fdsl_gen.core import recipe_files
from fdsl_gen.variants import kinds
from fdsl_train.data.open import data_spec, open_eval, open_pretrain, open_train_val
from fdsl_train.data.sources.base import num_samples, order_of, read_samples
from fdsl_train.data.sources.mixture import show_fresh
from fdsl_train.tasks import TASKS
from tests import ROOT
from tests.fdsl_train.conftest import run, start, wait_for_lines, write_recipe
from tests.fdsl_train.distributed.together import train_together
from tests.fdsl_train.training.test_resume import logged

STEPS = 20
PHOTO = ROOT / "tests" / "photo.png"
SMALL = {"image_size": 48, "num_points": 1500, "filling_rate": 0.02, "search_points": 2000}
SMALL |= {"search_size": 64, "supersampling": 1, "object_canvas": 32, "source": str(PHOTO)}


def named(kind: str) -> str:
    """The first recipe of a kind."""
    names = recipe_files.recipe_names(recipe_files.recipe_folder())
    return next(name for name in names if kind == load_recipe(name).variant.KIND)


def trainable() -> list[str]:
    """A recipe of every kind that there is a task for, and one with several views of a sample."""
    names = [*map(named, kinds()), "ofdb-3d-1k"]
    return [name for name in names if load_recipe(name).variant.LABEL_TYPE.name in TASKS]


def settings_of(name: str) -> dict[str, Any]:
    """Settings that make a recipe small: 48 pixels and some two dozen images."""
    recipe = load_recipe(name)
    fields = recipe.variant.__dataclass_fields__
    found = {key: value for key, value in SMALL.items() if key in fields} | {"num_shards": 3}
    if recipe.variant.SCENE:
        return found | {"num_categories": 6, "num_images": 24}
    if recipe.views_per_sample > 1:
        return found | {"num_categories": 5}
    each = min(4, recipe.num_instances)
    return found | {"num_categories": 24 // each, "num_instances": each}


def text_of(name: str, settings: dict[str, Any]) -> str:
    return f"recipe:{name}?" + "&".join(f"{key}={value}" for key, value in settings.items())


def tiny(path: Path, name: str, **changes: Any) -> Path:
    """A training recipe that fits the labels of a dataset."""
    task = load_recipe(name).variant.LABEL_TYPE.name
    whole = {"mixup": 0, "cutmix": 0, "smoothing": 0}
    dense = whole | {"aa": None, "reprob": 0, "decoder_channels": 8}
    own: dict[str, Any] = {"single": {}, "multi": whole, "segmentation": dense}[task]
    small = {"steps": STEPS, "global_batch_size": 8, "depth": 1, "checkpoint_every": 1000}
    return write_recipe(path, **(small | own | changes))


Found = tuple[list[dict[str, Any]], bytes]


def found_in(output: Path) -> Found:
    """What a run logged, and its weights."""
    return logged(output), (output / "export" / "model.safetensors").read_bytes()


def trained(recipe: Path, data: str | Path, output: Path, *more: str) -> Found:
    result = run("pretrain", "--recipe", recipe, "--data", data, "--output", output, *more)
    assert result.exit_code == 0, result.output
    return found_in(output)


def shards_of(name: str, folder: Path) -> Path:
    """The small dataset, written."""
    generate(load_recipe(name, **settings_of(name)), folder, workers=1)
    return folder


# PyTorch warns where there are fewer CPUs than workers; the order is what matters (2026-11).
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
@pytest.mark.parametrize("name", trainable())
def test_a_run_from_a_recipe_is_the_run_from_its_shards(name: str, tmp_path: Path) -> None:
    recipe = tiny(tmp_path / "r.yaml", name)
    first = trained(recipe, shards_of(name, tmp_path / "d"), tmp_path / "a", "--workers", "0")
    assert [line["step"] for line in first[0]] == list(range(1, STEPS + 1))
    drawn = ["--workers", "2", "--decoded-cache", "0"]
    assert trained(recipe, text_of(name, settings_of(name)), tmp_path / "b", *drawn) == first


NAME = "exfractaldb-1k"  # its categories are searched


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    changes = {"mixup": 0, "cutmix": 0, "drop_path": 0, "checkpoint_every": 4, "aug_repeats": 2}
    return tiny(tmp_path_factory.mktemp("recipe") / "r.yaml", NAME, **changes)


@pytest.fixture(scope="module")
def from_shards(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Found:
    folder = tmp_path_factory.mktemp("shards")
    return trained(recipe, shards_of(NAME, folder / "d"), folder / "run", "--workers", "0")


DATA = text_of(NAME, settings_of(NAME))


def test_a_set_shown_often_is_drawn_once(recipe: Path, from_shards: Found, tmp_path: Path) -> None:
    words = ["pretrain", "--recipe", recipe, "--data", DATA, "--output", tmp_path / "run"]
    assert "decoded once for this machine" in run(*words, "--workers", "0").output
    assert found_in(tmp_path / "run") == from_shards


@pytest.mark.slow
def test_two_processes_take_the_same_batches(
    recipe: Path, from_shards: Found, tmp_path: Path
) -> None:
    """Gradients are summed in another order, so against one process losses agree to rounding."""
    shards = shards_of(NAME, tmp_path / "d")
    both = []
    for data, output in ((str(shards), tmp_path / "a"), (DATA, tmp_path / "b")):
        words = ["pretrain", "--recipe", recipe, "--data", data, "--output", output]
        done = train_together(*words, "--workers", "1", "--decoded-cache", "0")
        assert [code for code, _, _ in done] == [0, 0], done
        both.append(found_in(output))
    assert both[0] == both[1]
    for one, other in zip(both[0][0], from_shards[0], strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=2e-3)


@pytest.mark.slow
def test_a_killed_run_continues_bit_for_bit(
    recipe: Path, from_shards: Found, tmp_path: Path
) -> None:
    words = ["pretrain", "--recipe", recipe, "--data", DATA, "--output", tmp_path / "run"]
    words += ["--decoded-cache", "0", "--resume", "auto"]
    process = start(*words, "--workers", "1")
    wait_for_lines(tmp_path / "run" / "metrics.jsonl", 6, process)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"
    process.communicate()
    result = run(*words, "--workers", "0")
    assert result.exit_code == 0, result.output
    assert "from step " in result.output, "it began anew, the test shows nothing"
    assert found_in(tmp_path / "run") == from_shards


def test_the_validation_part_is_that_of_the_shards(tmp_path: Path) -> None:
    settings = settings_of(NAME) | {"validation_instances": 1}
    text = text_of(NAME, settings)
    generate(load_recipe(NAME, **settings), tmp_path / "d", workers=1)
    places = (tmp_path / "d", text)
    near, far = (open_train_val(data_spec(one), val_split=None, seed=0) for one in places)
    for stored, drawn in ((near.train, far.train), (near.validation, far.validation)):
        assert stored.shard_sizes == drawn.shard_sizes
        for shard, size in enumerate(stored.shard_sizes):
            for row in range(size):
                one, other = stored.read_sample(shard, row), drawn.read_sample(shard, row)
                assert one.label == other.label
                assert np.array_equal(np.asarray(one.image), np.asarray(other.image))
    assert open_eval(data_spec(text), "train")[0].shard_sizes == near.train.shard_sizes


ENDLESS = ["rcdb-1k", "visualatom-1k", "exfractaldb-1k", "fractal-color"]


def shown(text: str, epochs: int, *, batch_size: int, first: int = 0) -> list[bytes]:
    """Pixels of the images of so many epochs, from a batch on, of a run with fresh ones."""
    source = open_pretrain(data_spec(text)).train
    show_fresh(source)
    plan = order_of(source, seed=1, batch_size=batch_size, repeats=1)
    found = []
    for index in range(first, epochs * num_samples(source) // batch_size):
        positions = plan.batch(index)
        images = dict(read_samples(source, positions))
        found += [np.asarray(images[place].image).tobytes() for place in range(len(positions))]
    return found


@pytest.mark.parametrize("name", ENDLESS)
def test_fresh_instances_never_repeat(name: str) -> None:
    """Also when the run begins in the middle: an image depends on its place alone."""
    settings = settings_of(name) | {"num_categories": 5, "num_instances": 4}
    text = text_of(name, settings)
    images = shown(text, 5, batch_size=8)
    assert len(images) == len(set(images)) == 100 - 100 % 8
    assert shown(text, 5, batch_size=8, first=7) == images[56:]
    plain = open_pretrain(data_spec(text)).train
    first = [np.asarray(plain.read_sample(s, r).image).tobytes()
             for s, n in enumerate(plain.shard_sizes) for r in range(n)]  # fmt: skip
    assert set(images[:20]) == set(first)


@pytest.mark.slow
def test_a_resumed_run_goes_on_with_fresh_instances(recipe: Path, tmp_path: Path) -> None:
    fresh = ["--fresh-instances", "--workers", "0"]
    whole = trained(recipe, DATA, tmp_path / "whole", *fresh)
    words = ["pretrain", "--recipe", recipe, "--data", DATA, "--output", tmp_path / "run", *fresh]
    process = start(*words)
    wait_for_lines(tmp_path / "run" / "metrics.jsonl", 6, process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    result = run(*words, "--resume", "auto", "--workers", "2")
    assert result.exit_code == 0, result.output
    assert found_in(tmp_path / "run") == whole


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("recipe:fractal-1", "a category of recipe:fractal-1 has 1 images with these settings"),
        ("recipe:ofdb-3d-1k", "a category of recipe:ofdb-3d-1k has 12 images"),
        ("", "new ones can be drawn from a recipe, --data recipe:NAME"),
    ],
)
def test_fresh_instances_of_what_has_no_others_are_refused(
    data: str, sentence: str, dataset: Path, tmp_path: Path
) -> None:
    words = ["--recipe", write_recipe(tmp_path / "r.yaml"), "--output", tmp_path / "run"]
    result = run("pretrain", "--data", data or dataset, "--fresh-instances", *words)
    assert result.exit_code == 2, result.output
    assert sentence in result.output and len(result.output.splitlines()) == 1


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("recipe:fractal-2", "fdsl-train: no recipe named 'fractal-2'"),
        ("recipe:fractal-1?sed=3", "fdsl-train: fractal-1.sed: unknown key; did you mean 'seed'?"),
        ("recipe:real-1", "source: say which image the dataset is made from"),
        ("recipe:fractal-1?num_points=10", "filling_rate: 10 points drawn as patch reach at most"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_sentence(
    data: str, sentence: str, tmp_path: Path
) -> None:
    words = ["--recipe", write_recipe(tmp_path / "r.yaml"), "--output", tmp_path / "run"]
    result = run("pretrain", "--data", data, *words)
    assert result.exit_code == 2, result.output
    assert sentence in result.output and len(result.output.splitlines()) == 1


def test_a_recipe_without_a_validation_part_is_refused(tmp_path: Path) -> None:
    words = ["--from-scratch", "--model", "vit_tiny_patch16_224", "--output", tmp_path / "run"]
    result = run("finetune", "--data", "recipe:fractal-1", "--recipe", "cpu_finetune", *words)
    assert result.exit_code == 2
    assert "fractal-1 has no validation split; give it validation_instances" in result.output
