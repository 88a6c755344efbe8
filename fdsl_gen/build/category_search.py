"""The search for categories that have to be searched for: a stage of its own, before the shards."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from fdsl_gen.core.keys import category_key
from fdsl_gen.executors import Executor, Failure, Observer
from fdsl_gen.executors.job_array import ArrayTask
from fdsl_gen.recipe.category_blocks import BLOCK, UNREADABLE, block_bytes, block_path, read_block
from fdsl_gen.recipe.recipe import Recipe
from fdsl_gen.storage import local

Write = Callable[[Path, bytes], None]  # writes a small file whole


def search_block(
    recipe: Recipe, cache: Path, write: Write, block: int, report: Callable[[int], None]
) -> None:
    """Find the categories of a block and write its file."""
    last = min((block + 1) * BLOCK, recipe.num_categories)
    found = []
    for index in range(block * BLOCK, last):
        found.append(recipe.variant.category(index, category_key(recipe.seed, index)))
        report(1)
    write(block_path(cache, block), block_bytes(found))


def missing_blocks(recipe: Recipe, cache: Path, array_task: ArrayTask | None = None) -> list[int]:
    """Blocks, of a task's share or of all, that are not whole in the cache."""
    return [block for block in _blocks(recipe, array_task) if not _is_whole(recipe, cache, block)]


def _blocks(recipe: Recipe, array_task: ArrayTask | None) -> list[int]:
    blocks = range(-(-recipe.num_categories // BLOCK))
    return list(blocks) if array_task is None else array_task.of(blocks)


def _size(recipe: Recipe, block: int) -> int:
    return min((block + 1) * BLOCK, recipe.num_categories) - block * BLOCK


def _is_whole(recipe: Recipe, cache: Path, block: int) -> bool:
    try:
        found = read_block(cache, block, recipe.seed)
        return len(found) >= _size(recipe, block)
    except UNREADABLE:
        return False


def find_categories(
    recipe: Recipe,
    cache: Path,
    executor: Executor,
    watch: Observer,
    write: Write = local.write,
    array_task: ArrayTask | None = None,
) -> list[Failure[int]]:
    """Search categories that the cache does not hold yet; returns the blocks that failed.

    Args:
        recipe: whose categories are searched for.
        cache: folder of blocks.
        executor: does the search.
        watch: told of every category.
        write: writes the file of a block.
        share: of a task of a job array; None: all blocks.
    """
    blocks = missing_blocks(recipe, cache, array_task)
    if not blocks:
        return []
    todo = sum(_size(recipe, block) for block in blocks)
    watch.note(f"searching {todo:,} categories")
    wanted = sum(_size(recipe, block) for block in _blocks(recipe, array_task))
    watch.begin(images=todo, done=wanted - todo)
    recipe.variant.category(0, category_key(recipe.seed, 0))  # compiles before the workers
    return executor.run(partial(search_block, recipe, cache, write), blocks, watch)
