"""A digest of tensors and plain values: what tells a flipped bit."""

import struct
from typing import Any

import torch
from torch import Tensor
from xxhash import xxh3_128

_MOST_VALUES = 10_000_000  # a few bytes of pickle can stand for 2^60 of them


def value_digest(value: Any) -> str:
    """32 hexadecimal digits of a tensor, a number, a text, None, or lists and dictionaries of them.

    Of tensors the type, the shape and every byte count; of dictionaries also the order. A tuple is
    a list, as in a checkpoint.

    Raises:
        TypeError: for a value of another kind.
        ValueError: if there are too many values, or an integer is too long.
    """
    hashed = xxh3_128()
    waiting = [value]  # no recursion: files of others may be nested without end
    for _ in range(_MOST_VALUES):
        if not waiting:
            return hashed.hexdigest()
        one = waiting.pop()
        if isinstance(one, Tensor):
            hashed.update(_head(b"t", f"{one.dtype} {list(one.shape)}"))
            flat = one.detach().cpu().contiguous().view(-1).view(torch.uint8)
            hashed.update(flat.numpy().data)
        elif isinstance(one, dict):
            hashed.update(b"d" + struct.pack("<q", len(one)))
            waiting += [part for pair in reversed(one.items()) for part in reversed(pair)]
        elif isinstance(one, list | tuple):
            hashed.update(b"l" + struct.pack("<q", len(one)))
            waiting += reversed(one)
        elif isinstance(one, float):
            hashed.update(b"f" + struct.pack("<d", one))
        elif one is None or isinstance(one, bool | int | str):
            hashed.update(_head(type(one).__name__.encode(), str(one)))
        else:
            raise TypeError(f"a digest cannot cover {type(one).__name__}")
    raise ValueError("too many values")


def _head(kind: bytes, text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return kind + struct.pack("<q", len(data)) + data
