"""Arrays as the content of ``.npy`` files, and back; no file is believed."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

POINTS = np.dtype("<f4")  # of the points of a model


def npy_bytes(array: NDArray[Any]) -> bytes:
    """An array as the content of a ``.npy`` file."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def array_of(content: bytes, dtype: np.dtype[Any], shape: tuple[int | None, ...]) -> NDArray[Any]:
    """The array in the content of a ``.npy`` file, read-only.

    Args:
        content: of the file.
        dtype: that it must have.
        shape: that it must have; None: of any length.

    Raises:
        ValueError: if it is not such a file.
    """
    buffer = io.BytesIO(content)
    try:
        if np.lib.format.read_magic(buffer) != (1, 0):
            raise ValueError
        found, fortran, kind = np.lib.format.read_array_header_1_0(buffer)
    except Exception:  # numpy's reader of headers raises what its parsers raise
        raise ValueError("it is not a .npy file of fdsl-gen") from None
    start, count = buffer.tell(), 1
    for length in found:
        count *= length
    fits = len(found) == len(shape) and all(
        wanted is None or length == wanted for length, wanted in zip(found, shape, strict=True)
    )
    plain = kind == dtype and not (fortran and len(shape) > 1)
    if not fits or not plain or len(content) != start + count * dtype.itemsize:
        raise ValueError("it does not fit the manifest")
    return np.frombuffer(content, dtype, count, start).reshape(found)
