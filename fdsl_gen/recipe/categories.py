"""Looking categories up: what all of them share, and those that were searched for before.

Categories that have to be searched for stand in blocks beside the dataset. A block holds the
categories ``100 b .. 100 b + 99``. It only saves time: a category is a function of the recipe's
identity and its index, so deleting ``__meta__/categories`` changes no pixel.
"""

import io
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.archive.paths import SHARED
from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.json_text import read_bounded, read_json
from fdsl_gen.geometry.category_table import table_text
from fdsl_gen.recipe.recipe import Recipe
from fdsl_gen.variants._parametric import Parametric
from fdsl_gen.variants.base import SearchedIfs, category_key

UNREADABLE = (OSError, ValueError, KeyError, EOFError, BadZipFile, MemoryError, NotImplementedError)
BLOCK = 100  # small enough that a thousand categories keep several workers busy

_MOST_BYTES = 1 << 24  # of a file; a block of 100 systems of 64 maps has about 1 MB


def load_cached(recipe: Recipe, cache: Path) -> None:
    """Spare the kind to compute again what its categories share, if an earlier step stored it."""
    try:
        recipe.variant.load_cached(recipe.seed, read_json(cache / Path(SHARED).name, _MOST_BYTES))
    except (OSError, ValueError, KeyError, TypeError):
        return  # not stored yet, or damaged: it is computed again


def block_path(cache: Path, block: int) -> Path:
    """The file of a block."""
    return cache / f"block-{block:06d}.npz"


def block_bytes(found: list[SearchedIfs]) -> bytes:
    """The content of the file of a block."""
    buffer = io.BytesIO()
    np.savez(
        buffer,
        affine=np.concatenate([one.affine for one in found]),
        cumulative=np.concatenate([one.cumulative for one in found]),
        lengths=np.array([len(one.affine) for one in found]),
        tries=np.array([one.num_candidates for one in found]),
        quality=np.array([one.quality for one in found]),
    )
    return buffer.getvalue()


def read_block(cache: Path, block: int, seed: int) -> list[SearchedIfs]:
    """The categories in the file of a block; one of ``UNREADABLE`` if it is not there or damaged.

    Args:
        cache: folder of blocks.
        block: its number.
        seed: of the dataset.
    """
    content = io.BytesIO(read_bounded(block_path(cache, block), _MOST_BYTES))
    with np.load(content, allow_pickle=False) as stored:
        if any(one.file_size > _MOST_BYTES for one in stored.zip.infolist()):
            raise ValueError("a block of categories is not that large")
        arrays = {name: stored[name] for name in _KINDS}
    _check_arrays(arrays)
    ends = np.cumsum(arrays["lengths"]).tolist()
    affine, cumulative = arrays["affine"], arrays["cumulative"]
    facts = zip(arrays["tries"].tolist(), arrays["quality"].tolist(), strict=True)
    found = []
    start = 0
    for index, (end, (tried, quality)) in enumerate(zip(ends, facts, strict=True), block * BLOCK):
        key = category_key(seed, index)
        system = affine[start:end], cumulative[start:end]
        found.append(SearchedIfs(index, key, *system, tried, quality))
        start = end
    return found


# Of the arrays of a block: type and dimensions.
_KINDS = {
    "affine": (np.float64, 2),
    "cumulative": (np.float64, 1),
    "lengths": (np.int64, 1),
    "tries": (np.int64, 1),
    "quality": (np.float64, 1),
}


def _check_arrays(arrays: dict[str, NDArray[Any]]) -> None:
    """Refuse what compiled kernels must not see; ValueError if it is no block."""
    for name, (dtype, ndim) in _KINDS.items():
        array = arrays[name]
        if array.dtype != dtype or array.ndim != ndim or not np.all(np.isfinite(array)):
            raise ValueError(f"{name} is not an array of a block")
    lengths, cumulative = arrays["lengths"], arrays["cumulative"]
    rows = len(cumulative)
    if not 1 <= len(lengths) <= BLOCK or lengths.min() < 1 or lengths.max() > rows:
        raise ValueError("the lengths of a block are out of bounds")
    if lengths.sum() != rows or len(arrays["affine"]) != rows:
        raise ValueError("the arrays of a block do not fit together")
    if arrays["affine"].shape[1] not in (6, 12) or len(lengths) != len(arrays["tries"]):
        raise ValueError("the arrays of a block do not fit together")


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
            key = category_key(self._recipe.seed, index)
            self._known[index] = self._recipe.variant.category(index, key)
        return self._known[index]

    def _load(self, block: int) -> None:
        if self._cache is None:
            return
        try:
            found = read_block(self._cache, block, self._recipe.seed)
        except UNREADABLE:
            return  # not searched yet, or damaged: the category is searched again
        self._known.update({one.index: one for one in found})


def as_csv(recipe: Recipe, cache: Path | None = None) -> str:
    """The parameters of all categories of a recipe, as CSV.

    Args:
        recipe: whose categories.
        cache: folder of categories that were found before.

    Raises:
        UsageError: if they have none.
    """
    variant = recipe.variant
    if not isinstance(variant, Parametric):
        raise UsageError(
            f"the categories of {recipe.name} have no parameters, but only numbers that their"
            " images are drawn from"
        )
    found = Categories(recipe, cache)
    count = 1 if variant.TABLE.shared else recipe.num_categories
    return table_text(variant.TABLE, (variant.category_rows(found[c]) for c in range(count)))
