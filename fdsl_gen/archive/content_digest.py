"""Digests of what a dataset says, whatever its files look like.

The digest of a sample covers its key, label, shape, pixels, mask and points, not the PNG bytes. The
digest of a collection is the sum of its samples' digests modulo 2**128, so that neither order nor
shards enter.
"""

import struct

import numpy as np
import xxhash
from numpy.typing import NDArray

MODULUS = 2**128


def sample_digest(
    key: str,
    labels: tuple[int, ...],
    image: NDArray[np.uint8],
    mask: NDArray[np.uint8] | None = None,
    points: NDArray[np.float32] | None = None,
) -> int:
    """xxh3-128 of a sample, as an integer.

    Args:
        key: name of the sample in its shard.
        labels: one, several, or none for segmentation sets.
        image: uint8 (H, W) or (H, W, 3).
        mask: uint8 (H, W), for segmentation sets.
        points: float32 (N, 3), for sets with points; those without have the digest they always had.
    """
    state = xxhash.xxh3_128()
    text = key.encode()
    state.update(struct.pack("<Q", len(text)) + text)
    state.update(struct.pack(f"<Q{len(labels)}Q", len(labels), *labels))
    for array in (image, mask):
        shape = () if array is None else array.shape
        state.update(struct.pack(f"<Q{len(shape)}Q", len(shape), *shape))
        if array is not None:
            state.update(np.ascontiguousarray(array).data)
    if points is not None:
        state.update(struct.pack("<Q2Q", points.ndim, *points.shape))
        state.update(np.ascontiguousarray(points, "<f4").data)
    return state.intdigest()


def as_text(total: int) -> str:
    """A digest as 32 hexadecimal digits."""
    return f"{total % MODULUS:032x}"
