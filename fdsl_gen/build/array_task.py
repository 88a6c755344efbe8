"""What a task of a job array does: its share of the shards, and nothing that needs the others.

Tasks run in any order, at the same time, and more than once. Whoever writes a shard first has
written it; the last step, ``finalize``, is a command of its own.
"""

from pathlib import Path

from fdsl_gen.build.category_search import missing_blocks
from fdsl_gen.build.generate import render_shards
from fdsl_gen.core.errors import UsageError
from fdsl_gen.dataset.store import lock_dataset
from fdsl_gen.executors import Executor, Observer, Silent
from fdsl_gen.executors.job_array import ArrayTask
from fdsl_gen.recipe.order import shards_of
from fdsl_gen.recipe.recipe import Recipe
from fdsl_gen.storage.options import StorageOptions


def render_array_task(
    recipe: Recipe,
    out: str | Path,
    array_task: ArrayTask,
    *,
    search: str,
    workers: int | None = None,
    executor: Executor | None = None,
    observer: Observer | None = None,
    storage: StorageOptions | None = None,
    tmp_dir: Path | None = None,
) -> int:
    """Render a task's share of a dataset; see ``build.generate`` for what is not said here.

    Args:
        recipe: of the dataset.
        out: its folder, or ``s3://bucket/prefix``.
        share: of this task.
        search: the command that searches the categories, which every task would otherwise do.
        workers, executor, observer, storage, tmp_dir: as of ``generate``.

    Returns:
        How many shards of the dataset are not there yet.

    Raises:
        UsageError: if ``out`` cannot be used, or categories are not searched for yet.
        ShardsFailed: if shards could not be written.
    """
    dataset = lock_dataset(out, recipe, storage=storage, tmp_dir=tmp_dir)
    if dataset.recipe.variant.SEARCHED:
        dataset.fetch()
        if missing_blocks(dataset.recipe, dataset.categories):
            raise UsageError(
                f"the categories of {recipe.name} are not searched for yet, and every task of the"
                f" array would search them all; run this before the array: {search}"
            )
    mine = array_task.of(shards_of(dataset.recipe))
    render_shards(dataset, mine, workers, executor, observer or Silent())
    return len(dataset.missing())
