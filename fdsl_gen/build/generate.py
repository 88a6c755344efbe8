"""From a recipe to a finished dataset: one shard, then all of it."""

import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.archive import tar
from fdsl_gen.archive.manifest import Manifest, ShardEntry
from fdsl_gen.archive.paths import SHARED
from fdsl_gen.archive.sample import digest_text
from fdsl_gen.archive.tar import Encoded
from fdsl_gen.build.category_search import find_categories, missing_blocks
from fdsl_gen.build.finalize import as_json, finalize
from fdsl_gen.core.cpus import default_workers
from fdsl_gen.core.errors import FdslError, ShardsFailed
from fdsl_gen.dataset.store import DatasetStore, lock_dataset
from fdsl_gen.executors import Executor, Failure, Observer, Silent
from fdsl_gen.executors.choice import executor_for
from fdsl_gen.executors.job_array import ArrayTask
from fdsl_gen.recipe.jobs import Categories, jobs_of, json_facts, sample_of
from fdsl_gen.recipe.order import SampleId, Shard, samples_of, shards_of, sharing_order
from fdsl_gen.recipe.recipe import Recipe
from fdsl_gen.storage import local
from fdsl_gen.storage.errors import ObjectExists
from fdsl_gen.storage.options import StorageOptions

Report = Callable[[int], None]


def render_shard(
    recipe: Recipe, samples: list[SampleId], cache: Path | Categories, report: Report
) -> tuple[list[Encoded], int, int]:
    """Draw and encode samples.

    Images are drawn in an order in which those that share work come together, and returned in the
    order of ``samples``.

    Args:
        recipe: of the dataset.
        samples: of the shard.
        cache: folder of categories that were found before, or the categories themselves.
        report: told of every image.

    Returns:
        The samples, the sum of their digests, and how many images are blank.
    """
    order = sharing_order(recipe.variant, samples)
    ordered = [samples[k] for k in order]
    encoded: list[Encoded | None] = [None] * len(samples)
    total = blank = 0
    drawn = recipe.variant.render(jobs_of(recipe, ordered, cache))
    sample_format = recipe.sample_format
    for k, identity, rendered in zip(order, ordered, drawn, strict=True):
        sample = sample_of(recipe, identity, rendered)
        facts = json_facts(recipe, identity, rendered)
        total += sample.digest()
        blank += rendered.blank or sample.is_blank()
        encoded[k] = sample_format.encode(sample, facts)
        report(1)
    return [one for one in encoded if one is not None], total, blank


def generate_shard(dataset: DatasetStore, shard: Shard, report: Report) -> ShardEntry:
    """Render one shard into its dataset: tar, index, marker.

    A file that already has the final name is never replaced: it is read and marked.

    Raises:
        ShardsFailed, StorageError: if a file cannot be written; nothing is left of it.
    """
    began = time.monotonic()
    recipe = dataset.recipe
    dataset.fetch()
    samples = samples_of(recipe, shard)
    if not dataset.has(shard):
        encoded, total, blank = render_shard(recipe, samples, dataset.categories, report)
        try:
            sha256, size = dataset.write_tar(shard, tar.tar_parts(encoded))
        except ObjectExists:  # another process finished it meanwhile
            return _adopt(dataset, shard, samples)
        entry = ShardEntry(
            file=dataset.paths(shard).tar,
            samples=len(samples),
            bytes=size,
            sha256=sha256,
            content_digest=digest_text(total),
            blank=blank,
        )
        index = tar.index_of(encoded, recipe.sample_format.members)
        dataset.write(dataset.paths(shard).index, tar.index_bytes(index))
        dataset.mark(shard, entry, seconds=round(time.monotonic() - began, 3))
        return entry
    report(len(samples))
    return _adopt(dataset, shard, samples)


def _adopt(dataset: DatasetStore, shard: Shard, samples: list[SampleId]) -> ShardEntry:
    """Mark a shard that is there without a marker: its writer was killed between the two."""
    with dataset.local_copy(shard) as tar_path:
        entry, index = _examine(dataset, shard, samples, tar_path)
    dataset.write(dataset.paths(shard).index, tar.index_bytes(index))
    dataset.mark(shard, entry, adopted=True)
    return entry


def _examine(
    dataset: DatasetStore, shard: Shard, samples: list[SampleId], tar_path: Path
) -> tuple[ShardEntry, NDArray[np.void]]:
    """What a shard holds, and its index; FdslError if that is not what belongs there."""
    name = dataset.paths(shard).tar
    recipe = dataset.recipe
    sample_format = recipe.sample_format
    total = blank = 0
    try:
        for sample, found in zip(samples, tar.read_samples(tar_path), strict=True):
            if found.key != sample.key:
                raise ValueError(f"it holds {found.key} where {sample.key} belongs")
            stored = sample_format.decode(found.key, dict(found.members))
            total += stored.digest()
            blank += stored.is_blank() and not recipe.variant.hides_blanks
        index = tar.scan_index(tar_path, sample_format.members)
    except (ValueError, KeyError) as error:
        raise FdslError(
            f"{name} is there but not what belongs there ({error}); delete it"
        ) from None
    if recipe.variant.hides_blanks:  # what was stored does not say it
        blank = render_shard(recipe, samples, dataset.categories, lambda count: None)[2]
    entry = ShardEntry(
        file=name,
        samples=len(samples),
        bytes=tar_path.stat().st_size,
        sha256=local.file_sha256(tar_path),
        content_digest=digest_text(total),
        blank=blank,
    )
    return entry, index


def _check_space(dataset: DatasetStore, missing: list[Shard], workers: int) -> None:
    under_way = dataset.shards_on_disk(missing, workers)
    needed = dataset.recipe.estimated_bytes(sum(shard.num_samples for shard in under_way))
    free = shutil.disk_usage(dataset.work.path).free
    if needed > free:
        raise ShardsFailed(
            f"not enough space in {dataset.work.path}: about {needed / 1e9:.1f} GB are needed and"
            f" {free / 1e9:.1f} GB are free"
        )


def find_all(
    dataset: DatasetStore,
    workers: int | None = None,
    observer: Observer | None = None,
    *,
    executor: Executor | None = None,
    array_task: ArrayTask | None = None,
) -> None:
    """Search the categories of a dataset; what it has already is kept.

    Args:
        dataset: of the dataset; the categories are then in ``dataset.categories``.
        workers: processes; None: the CPUs that this process may use.
        observer: told of every category.
        executor: does the search; None: what ``workers`` says.
        share: of a task of a job array; None: all.

    Raises:
        ShardsFailed: if some could not be found.
    """
    watch = observer or Silent()
    recipe, cache = dataset.recipe, dataset.categories
    dataset.fetch()
    blocks = missing_blocks(recipe, cache, array_task)
    executor = executor or executor_for(workers, len(blocks))
    failures = find_categories(recipe, cache, executor, watch, dataset.write_categories, array_task)
    if failures:
        raise ShardsFailed(
            f"{len(failures)} blocks of categories were not found: {failures[0].reason}"
        )
    dataset.fetch()
    if missing_blocks(recipe, cache, array_task):
        raise ShardsFailed(
            f"categories were found, but not all are in {dataset.url}, which all hosts must share"
        )


def generate(
    recipe: Recipe,
    out: str | Path,
    *,
    workers: int | None = None,
    overwrite: bool = False,
    observer: Observer | None = None,
    executor: Executor | None = None,
    storage: StorageOptions | None = None,
    tmp_dir: Path | None = None,
) -> Manifest:
    """Render a dataset into a folder, or into object storage. What is finished there is kept.

    Args:
        recipe: from :func:`load_recipe`.
        out: folder, or ``s3://bucket/prefix``; empty, new, or one that an earlier run of the same
            recipe began.
        workers: processes; None: the CPUs that this process may use. One means a plain loop.
        overwrite: delete a dataset of another recipe that stands there.
        observer: told of every image and shard.
        executor: renders the shards, such as ``fdsl_gen.executors.dask.DaskExecutor``; None: what
            ``workers`` says.
        storage: how to reach object storage.
        tmp_dir: where shards on their way to object storage are built, one a worker; None: the
            system's temporary dataset.

    Returns:
        The manifest of the finished dataset.

    Raises:
        UsageError: if ``out`` cannot be used.
        ShardsFailed: if shards could not be written; run again to retry these alone.
    """
    dataset = lock_dataset(out, recipe, overwrite=overwrite, storage=storage, tmp_dir=tmp_dir)
    watch = observer or Silent()
    render_shards(dataset, shards_of(dataset.recipe), workers, executor, watch)
    return finalize(dataset, watch)


def render_shards(
    dataset: DatasetStore,
    wanted: list[Shard],
    workers: int | None,
    executor: Executor | None,
    watch: Observer,
) -> None:
    """Render those of the wanted shards that are not there yet, and the categories for them.

    Args:
        dataset: to render into.
        wanted: which shards.
        workers, executor: as of :func:`generate`.
        watch: told of every image.

    Raises:
        ShardsFailed: if shards could not be written.
    """
    mine = set(wanted)
    missing = [shard for shard in dataset.missing() if shard in mine]
    recipe = dataset.recipe
    dataset.sweep(missing)
    _check_space(dataset, missing, workers or default_workers())
    if missing and recipe.variant.SEARCHED:
        find_all(dataset, workers, watch, executor=executor)
    images = sum(shard.num_samples for shard in missing)
    watch.begin(images=images, done=sum(shard.num_samples for shard in wanted) - images)
    executor = executor or executor_for(workers, len(missing))
    try:
        failures = executor.run(
            partial(generate_shard, dataset), missing, watch, partial(warm_up, dataset, missing)
        )
    finally:
        dataset.sweep(missing)
    if failures:
        raise ShardsFailed(_describe(dataset, failures))


def warm_up(dataset: DatasetStore, missing: list[Shard]) -> None:
    """Find what all categories share and compile every kernel, once for all workers."""
    if not missing:
        return
    dataset.prepare()
    dataset.fetch()
    recipe = dataset.recipe
    shared = recipe.variant.shared_parameters(recipe.seed)
    dataset.write(SHARED, as_json(shared))
    first = samples_of(recipe, missing[0])[:1]
    list(recipe.variant.render(jobs_of(recipe, first, dataset.categories)))


def _describe(dataset: DatasetStore, failures: list[Failure[Shard]]) -> str:
    names = sorted(f"{dataset.paths(failure.task).tar}" for failure in failures)
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    reasons = list(dict.fromkeys(failure.reason for failure in failures))
    return f"{len(failures)} shards were not written ({shown}): {'; '.join(reasons[:3])}"
