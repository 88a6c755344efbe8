"""Categories that have to be searched for: a stage of its own, in blocks kept beside the dataset.

A block holds the categories ``100 b .. 100 b + 99``. It only saves time: a category is a function
of the recipe's identity and its index, so deleting ``__meta__/categories`` changes no pixel.
"""

import io
import json
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from fdsl_gen import store
from fdsl_gen.core.keys import Key
from fdsl_gen.executors import Engine, Failure, Observer
from fdsl_gen.executors.job_array import Share
from fdsl_gen.recipe.recipe import Recipe
from fdsl_gen.variants.base import Found, Recalls

_UNREADABLE = (OSError, ValueError, KeyError, EOFError, BadZipFile)
BLOCK = 100  # small enough that a thousand categories keep several workers busy

SHARED = "shared.json"

Keep = Callable[[Path, bytes], None]  # writes a small file whole


def recall(recipe: Recipe, cache: Path) -> None:
    """Spare the kind to compute again what its categories share, if an earlier step kept it."""
    if not isinstance(recipe.variant, Recalls):
        return
    try:
        shared = json.loads((cache / SHARED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    recipe.variant.recall(recipe.seed, shared)


def block_path(cache: Path, block: int) -> Path:
    """The file of a block."""
    return cache / f"block-{block:06d}.npz"


def _pack(found: list[Found]) -> bytes:
    buffer = io.BytesIO()
    np.savez(
        buffer,
        affine=np.concatenate([one.affine for one in found]),
        cumulative=np.concatenate([one.cumulative for one in found]),
        lengths=np.array([len(one.affine) for one in found]),
        tries=np.array([one.tries for one in found]),
        quality=np.array([one.quality for one in found]),
    )
    return buffer.getvalue()


def _unpack(path: Path, first: int, seed: int) -> list[Found]:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        ends = np.cumsum(stored["lengths"]).tolist()
        affine, cumulative = stored["affine"], stored["cumulative"]
        facts = zip(stored["tries"].tolist(), stored["quality"].tolist(), strict=True)
    found = []
    start = 0
    for k, (end, (tries, quality)) in enumerate(zip(ends, facts, strict=True)):
        key = Key(seed, "category", (first + k,))
        found.append(
            Found(first + k, key, affine[start:end], cumulative[start:end], tries, quality)
        )
        start = end
    return found


class Categories:
    """The categories of a recipe by index, from the cache where it has them."""

    def __init__(self, recipe: Recipe, cache: Path | None = None) -> None:
        self._recipe = recipe
        self._cache = cache if recipe.variant.SEARCHED else None
        self._known: dict[int, Any] = {}

    def __getitem__(self, index: int) -> Any:
        if index not in self._known:
            self._load(index // BLOCK)
        if index not in self._known:
            key = Key(self._recipe.seed, "category", (index,))
            self._known[index] = self._recipe.variant.category(index, key)
        return self._known[index]

    def _load(self, block: int) -> None:
        if self._cache is None:
            return
        try:
            found = _unpack(block_path(self._cache, block), block * BLOCK, self._recipe.seed)
        except _UNREADABLE:
            return  # not searched yet, or damaged: the category is searched again
        self._known.update({one.index: one for one in found})


def search_block(
    recipe: Recipe, cache: Path, keep: Keep, block: int, report: Callable[[int], None]
) -> None:
    """Find the categories of a block and write its file."""
    last = min((block + 1) * BLOCK, recipe.num_categories)
    found = []
    for index in range(block * BLOCK, last):
        found.append(recipe.variant.category(index, Key(recipe.seed, "category", (index,))))
        report(1)
    keep(block_path(cache, block), _pack(found))


def missing_blocks(recipe: Recipe, cache: Path, share: Share | None = None) -> list[int]:
    """Blocks, of a task's share or of all, that are not whole in the cache."""
    return [block for block in _blocks(recipe, share) if not _is_whole(recipe, cache, block)]


def _blocks(recipe: Recipe, share: Share | None) -> list[int]:
    blocks = range(-(-recipe.num_categories // BLOCK))
    return list(blocks) if share is None else share.of(blocks)


def _size(recipe: Recipe, block: int) -> int:
    return min((block + 1) * BLOCK, recipe.num_categories) - block * BLOCK


def _is_whole(recipe: Recipe, cache: Path, block: int) -> bool:
    try:
        found = _unpack(block_path(cache, block), block * BLOCK, recipe.seed)
        return len(found) >= _size(recipe, block)
    except _UNREADABLE:
        return False


def find_categories(
    recipe: Recipe,
    cache: Path,
    engine: Engine,
    watch: Observer,
    keep: Keep = store.write,
    share: Share | None = None,
) -> list[Failure[int]]:
    """Search categories that the cache does not hold yet; returns the blocks that failed.

    Args:
        recipe: whose categories are searched for.
        cache: folder of blocks.
        engine: does the search.
        watch: told of every category.
        keep: writes the file of a block.
        share: of a task of a job array; None: all blocks.
    """
    blocks = missing_blocks(recipe, cache, share)
    if not blocks:
        return []
    todo = sum(_size(recipe, block) for block in blocks)
    watch.note(f"searching {todo:,} categories")
    wanted = sum(_size(recipe, block) for block in _blocks(recipe, share))
    watch.begin(images=todo, done=wanted - todo)
    recipe.variant.category(0, Key(recipe.seed, "category", (0,)))  # compiles before the workers
    return engine.run(partial(search_block, recipe, cache, keep), blocks, watch)


def as_csv(categories: Iterable[Found]) -> str:
    """Categories as CSV: number of maps, tries, quality, coefficients of every map."""
    lines = ["category,map,num_maps,tries,quality,probability,coefficients"]
    for one in categories:
        before = 0.0
        for j, (row, reached) in enumerate(zip(one.affine, one.cumulative.tolist(), strict=True)):
            numbers = " ".join(f"{value!r}" for value in row.tolist())
            lines.append(
                f"{one.index},{j},{len(one.affine)},{one.tries},{one.quality:.6f},"
                f"{reached - before!r},{numbers}"
            )
            before = reached
    return "\n".join(lines) + "\n"
