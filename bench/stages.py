"""Where the time of an image goes: category, render, encode, digest, write."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fdsl_gen.archive import tar
from fdsl_gen.core.keys import category_key
from fdsl_gen.recipe.jobs import jobs_of, sample_of
from fdsl_gen.recipe.order import SampleId
from fdsl_gen.recipe.recipe import Recipe
from fdsl_gen.storage import local

RUNS = 5


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that a call takes, and what it returns."""
    began = time.perf_counter()
    value = function()
    return time.perf_counter() - began, value


def bench_samples(recipe: Recipe, count: int) -> list[SampleId]:
    """``count`` samples as they come in a shard: a work group each of categories all over."""
    if recipe.variant.SCENE:
        return [SampleId(-1, i) for i in range(min(count, recipe.num_images))]
    group_of = recipe.variant.work_group
    instances = [i for i in range(recipe.num_instances) if group_of(i) == group_of(0)]
    num_groups = -(-count // len(instances))
    categories = [k * recipe.num_categories // num_groups for k in range(num_groups)]
    return [SampleId(c, i) for c in categories for i in instances][:count]


def one_run(recipe: Recipe, samples: list[SampleId], first: int) -> dict[str, float]:
    """Seconds of each stage; categories move on by ``first``, so that no run repeats another."""
    moved = [SampleId(c + first if c >= 0 else c, i) for c, i in samples]
    categories = sorted({c for c, _ in moved if c >= 0})
    key = [category_key(recipe.seed, c) for c in categories]
    spent, _ = timed(
        lambda: [recipe.variant.category(c, k) for c, k in zip(categories, key, strict=True)]
    )
    seconds = {"category": spent}
    jobs = list(jobs_of(recipe, moved))
    seconds["render"], drawn = timed(lambda: list(recipe.variant.render(jobs)))
    pairs = list(zip(moved, drawn, strict=True))
    seconds["encode"], encoded = timed(
        lambda: [recipe.sample_format.encode(sample_of(recipe, s, one), {}) for s, one in pairs]
    )
    seconds["digest"], _ = timed(lambda: [sample_of(recipe, s, one).digest() for s, one in pairs])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.tar"
        seconds["write"], written = timed(lambda: local.write_new(path, tar.tar_parts(encoded)))
    seconds["bytes"] = written[1] / len(moved)
    attempts = [one.parameters.get("attempts", 1) for one in drawn]
    seconds["attempts"] = sum(map(float, attempts)) / len(attempts)
    return seconds


def stage_row(recipe: Recipe, count: int) -> dict[str, float]:
    """Medians over runs: milliseconds an image by stage, bytes and attempts an image, images/s.

    Categories are not in the rate: they are found once, before the first shard.
    """
    samples = bench_samples(recipe, count)
    one_run(recipe, samples[:8], 0)  # compiles
    runs = [one_run(recipe, samples, run) for run in range(RUNS)]
    row = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    stages = ("render", "encode", "digest", "write")
    rates = [len(samples) / sum(run[name] for name in stages) for run in runs]
    for name in ("category", *stages):
        row[name] *= 1e3 / len(samples)
    return row | {"rate": statistics.median(rates), "best": max(rates)}
