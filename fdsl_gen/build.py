"""From a recipe to a finished dataset: one shard, then all of it."""

import os
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from fdsl_gen import content, shards, store
from fdsl_gen.categories import find_categories, missing_blocks, recall
from fdsl_gen.dataset import decode_sample
from fdsl_gen.engine import Engine, Failure, Observer, Silent
from fdsl_gen.engine.local import LocalEngine
from fdsl_gen.engine.serial import SerialEngine
from fdsl_gen.errors import FdslError, ShardsFailed
from fdsl_gen.finalize import as_json, finalize
from fdsl_gen.folder import Folder, claim
from fdsl_gen.layout import SampleId, Shard, samples_of
from fdsl_gen.manifest import Manifest, ShardEntry
from fdsl_gen.recipe import Recipe
from fdsl_gen.samples import digest, encode, jobs_of, members_of
from fdsl_gen.shards import Encoded

Report = Callable[[int], None]


def render_shard(
    recipe: Recipe, samples: list[SampleId], cache: Path, report: Report
) -> tuple[list[Encoded], int, int]:
    """Draw and encode samples.

    Images are drawn in the order of (category, unit, instance), so that those which share work come
    together, and returned in the order of ``samples``.

    Args:
        recipe: of the dataset.
        samples: of the shard.
        cache: folder of categories that were found before.
        report: told of every image.

    Returns:
        The samples, the sum of their digests, and how many images are blank.
    """
    unit = recipe.variant.unit
    order = sorted(
        range(len(samples)), key=lambda k: (samples[k][0], unit(samples[k][1]), samples[k])
    )
    ordered = [samples[k] for k in order]
    encoded: list[Encoded | None] = [None] * len(samples)
    total = blank = 0
    drawn = recipe.variant.render(jobs_of(recipe, ordered, cache))
    for k, sample, rendered in zip(order, ordered, drawn, strict=True):
        total += digest(recipe, sample, rendered)
        blank += not np.any(rendered.image)
        encoded[k] = encode(recipe, sample, rendered)
        report(1)
    return [one for one in encoded if one is not None], total, blank


def generate_shard(folder: Folder, shard: Shard, report: Report) -> ShardEntry:
    """Render one shard into its folder: tar, index, marker.

    A file that already has the final name is never replaced: it is read and marked.

    Raises:
        OSError: if a file cannot be written; nothing is left of it.
    """
    began = time.monotonic()
    recipe = folder.recipe
    recall(recipe, folder.categories)
    samples = samples_of(recipe, shard)
    tar = folder.tar(shard)
    if not tar.exists():
        encoded, total, blank = render_shard(recipe, samples, folder.categories, report)
        try:
            sha256, size = store.write_new(tar, shards.tar_parts(encoded))
        except FileExistsError:  # another process finished it meanwhile
            return _adopt(folder, shard, samples)
        entry = ShardEntry(
            file=tar.name,
            samples=len(samples),
            bytes=size,
            sha256=sha256,
            content_digest=content.as_text(total),
            blank=blank,
        )
        index = shards.index_of(encoded, members_of(recipe))
        store.write(folder.index(shard), shards.index_bytes(index))
        folder.mark(shard, entry, seconds=round(time.monotonic() - began, 3))
        return entry
    report(len(samples))
    return _adopt(folder, shard, samples)


def _adopt(folder: Folder, shard: Shard, samples: list[SampleId]) -> ShardEntry:
    """Mark a shard that is there without a marker: its writer was killed between the two."""
    tar = folder.tar(shard)
    recipe = folder.recipe
    channels = recipe.variant.image.channels
    total = blank = 0
    try:
        for sample, found in zip(samples, shards.read_samples(tar), strict=True):
            if found.key != sample.key:
                raise ValueError(f"it holds {found.key} where {sample.key} belongs")
            stored = decode_sample(found.key, dict(found.members), channels)
            total += content.sample_digest(found.key, stored.labels, stored.image, stored.mask)
            blank += not np.any(stored.image)
        index = shards.scan_index(tar, members_of(recipe))
    except (ValueError, KeyError) as error:
        raise FdslError(
            f"{tar.name} is there but not what belongs there ({error}); delete it"
        ) from None
    entry = ShardEntry(
        file=tar.name,
        samples=len(samples),
        bytes=tar.stat().st_size,
        sha256=store.file_sha256(tar),
        content_digest=content.as_text(total),
        blank=blank,
    )
    store.write(folder.index(shard), shards.index_bytes(index))
    folder.mark(shard, entry, adopted=True)
    return entry


def estimated_bytes(recipe: Recipe, num_samples: int) -> int:
    """Rough size of that many samples on disk."""
    return num_samples * recipe.variant.nominal_bytes(recipe.num_categories)


def _check_space(folder: Folder, missing: list[Shard]) -> None:
    needed = estimated_bytes(folder.recipe, sum(shard.num_samples for shard in missing))
    free = shutil.disk_usage(folder.path).free
    if needed > free:
        raise ShardsFailed(
            f"not enough space in {folder.path}: about {needed / 1e9:.1f} GB are needed and"
            f" {free / 1e9:.1f} GB are free"
        )


def default_workers() -> int:
    """CPUs that this process may use: affinity, SLURM's grant, the cgroup's quota."""
    count = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    granted = os.environ.get("SLURM_CPUS_PER_TASK", "")
    if granted.isdigit() and int(granted) > 0:
        count = min(count, int(granted))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            count = min(count, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        pass
    return count


def engine_for(workers: int | None, tasks: int) -> Engine:
    """A plain loop for one worker or one task, else local processes."""
    count = min(workers or default_workers(), max(tasks, 1))
    return SerialEngine() if count == 1 else LocalEngine(count)


def find_all(
    recipe: Recipe, cache: Path, workers: int | None = None, observer: Observer | None = None
) -> None:
    """Search the categories of a recipe into a cache folder; what is there already is kept.

    Raises:
        ShardsFailed: if some could not be found.
    """
    watch = observer or Silent()
    engine = engine_for(workers, len(missing_blocks(recipe, cache)))
    failures = find_categories(recipe, cache, engine, watch)
    if failures:
        raise ShardsFailed(
            f"{len(failures)} blocks of categories were not found: {failures[0].reason}"
        )


def generate(
    recipe: Recipe,
    out: str | Path,
    *,
    workers: int | None = None,
    overwrite: bool = False,
    observer: Observer | None = None,
) -> Manifest:
    """Render a dataset into a folder. What an earlier run finished there is kept.

    Args:
        recipe: from :func:`load_recipe`.
        out: folder; empty, new, or one that an earlier run of the same recipe began.
        workers: processes; None: the CPUs that this process may use. One means a plain loop.
        overwrite: delete a dataset of another recipe that stands there.
        observer: told of every image and shard.

    Returns:
        The manifest of the finished dataset.

    Raises:
        UsageError: if ``out`` cannot be used.
        ShardsFailed: if shards could not be written; run again to retry these alone.
    """
    watch = observer or Silent()
    folder = claim(Path(out), recipe, overwrite=overwrite)
    recipe = folder.recipe
    missing = folder.missing()
    folder.sweep(missing)
    _check_space(folder, missing)
    engine = engine_for(workers, len(missing))
    if missing and recipe.variant.SEARCHED:
        find_all(recipe, folder.categories, workers, watch)
    watch.begin(
        images=sum(shard.num_samples for shard in missing),
        done=recipe.num_samples - sum(shard.num_samples for shard in missing),
    )
    try:
        failures = engine.run(
            partial(generate_shard, folder), missing, watch, partial(_warm_up, folder, missing)
        )
    finally:
        folder.sweep(missing)
    if failures:
        raise ShardsFailed(_describe(folder, failures))
    return finalize(folder)


def _warm_up(folder: Folder, missing: list[Shard]) -> None:
    """Find what all categories share and compile every kernel, once for all workers."""
    if not missing:
        return
    recipe = folder.recipe
    shared = recipe.variant.shared(recipe.seed)
    store.write(folder.shared, as_json(shared))
    first = samples_of(recipe, missing[0])[:1]
    list(recipe.variant.render(jobs_of(recipe, first, folder.categories)))


def _describe(folder: Folder, failures: list[Failure[Shard]]) -> str:
    names = sorted(f"{folder.stem(failure.task)}.tar" for failure in failures)
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    reasons = list(dict.fromkeys(failure.reason for failure in failures))
    return f"{len(failures)} shards were not written ({shown}): {'; '.join(reasons[:3])}"
