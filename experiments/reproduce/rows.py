"""Rows, and what each of their stages is told; at a scale below 1, small enough to try."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fdsl_gen import Recipe, load_recipe
from fdsl_gen.core import settings
from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.settings import setting
from fdsl_train.config import Purpose, load_config

FINETUNE = "finetune-small"
CIFAR100 = "torch/cifar100"
SCRATCH_MODEL = "vit_tiny_patch16_224"
_CIFAR100_IMAGES = 50_000

# Below this scale a very small model is trained on the CPU.
_TINY = 0.01
_TINY_MODEL = {"img_size": 64, "patch_size": 16, "embed_dim": 64, "depth": 2, "num_heads": 2}
_TINY_RUN = {"device": "cpu", "threads": 1, "amp": False, "workers": 1}
_LEAST_CATEGORIES, _LEAST_IMAGES, _LEAST_STEPS, _LEAST_BATCH = 16, 64, 20, 8


@dataclass(frozen=True, kw_only=True)
class PaperRow:
    """A row of a paper's table. Read by :func:`read_rows`."""

    paper: str = setting(doc="where it is printed")
    dataset: str | None = setting(None, doc="of formulas; null: from scratch")
    published: str = setting(doc="top-1 accuracy, percent")


def read_rows() -> dict[str, PaperRow]:
    """All rows by name."""
    rows = settings.load_yaml(Path(__file__).with_name("rows.yaml"))
    return {name: settings.from_dict(PaperRow, row, name) for name, row in rows.items()}


def find_row(name: str) -> PaperRow:
    """A row by its name.

    Raises:
        UsageError: if there is none.
    """
    rows = read_rows()
    if name not in rows:
        known = settings.nearest(name, rows) or f"; there are {', '.join(rows)}"
        raise UsageError(f"no row named '{name}'{known}")
    return rows[name]


def dataset_of(row: PaperRow, scale: float) -> Recipe:
    """The recipe of a row's dataset, with fewer categories and images below a scale of 1."""
    assert row.dataset is not None
    recipe = load_recipe(row.dataset)
    if scale == 1:
        return recipe
    categories = min(
        recipe.num_categories, max(_LEAST_CATEGORIES, round(recipe.num_categories * scale))
    )
    wanted = max(_LEAST_IMAGES, recipe.num_samples * scale)
    views = recipe.views_per_sample
    instances = min(recipe.num_instances, views * math.ceil(wanted / categories / views))
    return load_recipe(
        row.dataset, num_categories=categories, num_instances=instances, num_shards=2
    )


def pretraining_settings(row: PaperRow, scale: float, processes: int) -> dict[str, Any]:
    """What pre-training is told over its recipe."""
    assert row.dataset is not None
    whole = load_recipe(row.dataset)
    name = whole.train_recipe
    assert name is not None
    images = whole.num_train_samples // whole.views_per_sample
    return _scaled(name, "pretrain", images, scale, processes)


def finetuning_settings(row: PaperRow, scale: float, processes: int, images: int) -> dict[str, Any]:
    """What fine-tuning is told over its recipe; ``images``: that there are to train on."""
    told = _scaled(FINETUNE, "finetune", _CIFAR100_IMAGES, scale, processes)
    if row.dataset is None:
        told["model"] = SCRATCH_MODEL
    if scale == 1:
        return told
    batch = min(told["global_batch_size"], images // 2 // processes * 2 * processes)
    epochs = told["steps"] * batch / images
    if scale >= _TINY or row.dataset is not None:  # the checkpoint says the shape of its model
        told = {name: value for name, value in told.items() if name not in _shape()}
    return told | {"global_batch_size": batch, "eval_epochs": max(1.0, epochs / 4)}


def _shape() -> set[str]:
    return {*_TINY_MODEL} - {"img_size"}


def _scaled(
    recipe: str, purpose: Purpose, images: int, scale: float, processes: int
) -> dict[str, Any]:
    """Steps in proportion, batches by the square root, and below ``_TINY`` a tiny model."""
    if scale == 1:
        return {}
    whole = load_config(recipe, purpose, {}).resolve(images)
    steps = max(_LEAST_STEPS, round(whole.steps * scale))
    batch = max(_LEAST_BATCH, whole.global_batch_size * math.sqrt(scale))
    told: dict[str, Any] = {
        "steps": steps,
        "warmup_steps": min(round(whole.warmup_steps * scale), steps // 10),
        "global_batch_size": math.ceil(batch / 2 / processes) * 2 * processes,  # mixing pairs
        "log_every": min(whole.log_every, max(1, steps // 10)),
        "checkpoint_every": min(whole.checkpoint_every, max(10, steps // 5)),
    }
    return told | _TINY_MODEL | _TINY_RUN if scale < _TINY else told
