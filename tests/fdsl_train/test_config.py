"""Recipes: what they may say, and how flags change them."""

from pathlib import Path
from typing import Any

import pytest

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.recipe_files import headline
from fdsl_train.cli.recipe_options import overrides_of
from fdsl_train.config import load_config, training_recipes
from fdsl_train.training.run_dir import differences, write_args
from tests.fdsl_train.conftest import TINY, write_recipe


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"epochs": 3}, "tiny.steps: give exactly one of steps and epochs"),
        ({"steps": None}, "tiny.steps: give exactly one of steps and epochs"),
        ({"warmup_epochs": 1}, "tiny.warmup_steps: give warmup_steps or warmup_epochs, not both"),
        ({"model": None}, "tiny.model: is missing; pre-training needs it"),
        ({"lr": None}, "tiny.lr: is missing"),
        ({"lr": 0}, "tiny.lr: must be greater than 0, not 0"),
        ({"lr": 1e-6}, "tiny.min_lr: 1e-05 is above the peak learning rate, which is 1e-06"),
        ({"scale": [1.0]}, "tiny.scale: must be 2 numbers, not (1.0,)"),
        ({"scale": [1.0, 0.5]}, "tiny.scale: the first number must not exceed the second"),
        (
            {"resize_ratio": [2, 1]},
            "tiny.resize_ratio: the first number must not exceed the second",
        ),
        ({"eval_mode": "slide", "short_side": 16}, "tiny.short_side: images of 16 px are smaller"),
        ({"mean": [0.5]}, "tiny.mean: must be 3 numbers, not (0.5,)"),
        ({"aa": "v0"}, "tiny.aa: must look like rand-m9-mstd0.5-inc1, not 'v0'"),
        ({"opt": 7}, "tiny.opt: must be a text, not 7"),
        ({"weigth_decay": 0.1}, "tiny.weigth_decay: unknown key; did you mean 'weight_decay'?"),
        ({"purpose": "finetune"}, "the recipe 'tiny' is for fdsl-train finetune, not pretrain"),
    ],
)
def test_what_a_recipe_may_not_say(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    path = write_recipe(tmp_path / "tiny.yaml", **changes)
    with pytest.raises(UsageError) as caught:
        load_config(str(path), "pretrain", {})
    assert str(caught.value).startswith(sentence)


def test_flags_override_and_take_back_their_rivals(tmp_path: Path) -> None:
    path = str(write_recipe(tmp_path / "tiny.yaml"))
    config = load_config(path, "pretrain", {"epochs": 2.0, "warmup_epochs": 0.5, "lr": 0.1})
    assert (config.steps, config.epochs, config.warmup_steps) == (None, 2.0, None)
    resolved = config.resolve(100)
    assert resolved.steps == 13  # 200 images in batches of 16, rounded up
    assert resolved.warmup_steps == 4  # 50 images
    assert resolved.lr == 0.1
    other = write_recipe(
        tmp_path / "o.yaml", steps=None, epochs=3, warmup_steps=None, warmup_epochs=1
    )
    config = load_config(str(other), "pretrain", {"steps": 9, "warmup_steps": 4})
    assert (config.steps, config.epochs) == (9, None)
    assert (config.warmup_steps, config.warmup_epochs) == (4, None)


@pytest.mark.parametrize(
    ("changes", "flags", "images"),
    [
        ({}, {"batch_size": 8}, 8 * 2),
        ({}, {"batch_size": 8, "grad_accum_steps": 3}, 8 * 2 * 3),
        ({"grad_accum_steps": 5}, {"batch_size": 8}, 8 * 2 * 5),
        ({"grad_accum_steps": 5}, {"batch_size": 8, "grad_accum_steps": 3}, 8 * 2 * 3),
    ],
)
def test_a_batch_of_timm_counts_processes_and_parts(
    tmp_path: Path, changes: dict[str, Any], flags: dict[str, Any], images: int
) -> None:
    path = write_recipe(tmp_path / "tiny.yaml", **changes)
    config = load_config(str(path), "pretrain", flags, world_size=2)
    assert config.global_batch_size == images
    assert config.batch_per_process(2) == 8


def test_a_warm_up_must_be_shorter_than_the_run(tmp_path: Path) -> None:
    config = load_config(str(write_recipe(tmp_path / "t.yaml")), "pretrain", {"warmup_steps": 12})
    with pytest.raises(UsageError, match="12 steps must be shorter than the run of 12 steps"):
        config.resolve(100)


def test_flags_are_read_by_the_type_of_their_setting() -> None:
    given = {"lr": "1e-3", "steps": "7", "scale": "0.1,1", "aa": "none", "amp": False, "std": None}
    assert overrides_of(given) == {
        "lr": 1e-3,
        "steps": 7,
        "scale": (0.1, 1.0),
        "aa": None,
        "amp": False,
    }
    assert overrides_of({"batch_size": "8"}) == {"batch_size": 8}
    with pytest.raises(UsageError, match=r"--lr: must be a number, not 'fast'"):
        overrides_of({"lr": "fast"})
    with pytest.raises(UsageError, match="not both"):
        overrides_of({"batch_size": "8", "global_batch_size": "8"})


def test_the_resolved_recipe_is_a_recipe(tmp_path: Path) -> None:
    config = load_config(str(write_recipe(tmp_path / "tiny.yaml")), "pretrain", {}).resolve(64)
    write_args(tmp_path, config, "somewhere", "abc", "")
    again = load_config(str(tmp_path / "args.yaml"), "pretrain", {}).resolve(64)
    assert again == config


def test_only_what_changes_no_result_may_change_on_resume() -> None:
    then = {"lr": 1.0, "workers": 1, "steps": 5}
    assert differences({"lr": 1.0, "workers": 8, "steps": 5}, then) == []
    assert differences({"lr": 2.0, "workers": 1, "steps": 6}, then) == [
        "lr is 2.0, was 1.0",
        "steps is 6, was 5",
    ]


@pytest.mark.parametrize("path", sorted(training_recipes().glob("*.yaml")), ids=lambda p: p.stem)
def test_published_recipes(path: Path) -> None:
    purpose = "finetune" if "finetune" in path.stem else "pretrain"
    config = load_config(path.stem, purpose, {})
    assert config.steps_for(1, 64) >= 1
    text = path.read_text()
    assert text.startswith(f"# {path.stem}: ")
    for word in ("Paper", "Command: fdsl-train", "xpected time"):
        assert word in text, word
    assert len(headline(path)) > 20


def test_every_setting_of_the_tests_exists() -> None:
    assert TINY.keys() <= set(load_config("cpu_smoke", "pretrain", {}).to_dict())
