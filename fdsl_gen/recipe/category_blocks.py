"""Files of the categories that were searched for, in blocks beside the dataset.

A block holds the categories ``100 b .. 100 b + 99``. It only saves time: a category is a function
of the recipe's identity and its index, so deleting ``__meta__/categories`` changes no pixel.
"""

import io
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.core.json_text import read_bounded
from fdsl_gen.core.keys import category_key
from fdsl_gen.variants.base import SearchedIfs

UNREADABLE = (OSError, ValueError, KeyError, EOFError, BadZipFile, MemoryError, NotImplementedError)
BLOCK = 100  # small enough that a thousand categories keep several workers busy

MOST_BYTES = 1 << 24  # of a file; a block of 100 systems of 64 maps has about 1 MB


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
    content = io.BytesIO(read_bounded(block_path(cache, block), MOST_BYTES))
    with np.load(content, allow_pickle=False) as stored:
        if any(one.file_size > MOST_BYTES for one in stored.zip.infolist()):
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
