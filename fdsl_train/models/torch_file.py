"""Files written by ``torch.save``, read without executing anything that is in them.

Pickles are read with ``weights_only=True``, which knows tensors and plain values. Training scripts
of this field save more: their arguments (``argparse.Namespace``), paths, and numbers of NumPy.
These are bags of plain values, so they are allowed by name; everything else is refused.
"""

import argparse
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fdsl_gen.core.errors import UsageError
from fdsl_train.models.weight_files import check_regular

_NUMBERS = "Bool Int8 Int16 Int32 Int64 UInt8 UInt16 UInt32 UInt64 Float16 Float32 Float64"

# (what is made, its name in the file). Paths become pure ones: those of another system cannot be
# made here, and nobody needs to open them.
_ALLOWED: list[Any] = [
    argparse.Namespace,
    np.dtype,
    np.ndarray,
    *(getattr(np.dtypes, f"{kind}DType") for kind in [*_NUMBERS.split(), "Str"]),
    *(
        (made, f"{module}.{name}")
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
        for name, made in (
            ("scalar", np.float64(0).__reduce__()[0]),
            ("_reconstruct", np.zeros(0).__reduce__()[0]),
        )
    ),
    *(
        (made, f"{module}.{prefix}{system}Path")
        for module in ("pathlib", "pathlib._local")
        for prefix in ("", "Pure")
        for system, made in (("Posix", PurePosixPath), ("Windows", PureWindowsPath))
    ),
]


def read_torch_file(path: Path) -> dict[str, Any]:
    """What a file of ``torch.save`` holds, tensors on the CPU and mapped from the file.

    Raises:
        UsageError: if there is no such file, it is no checkpoint, or reading it would run code.
    """
    check_regular(path)
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_ALLOWED):
            warnings.simplefilter("ignore")  # PyTorch's remarks on files of its old versions
            payload = torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
    except OSError as error:
        if error.strerror is None:
            raise not_a_checkpoint(path) from None
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except pickle.UnpicklingError as error:
        code = re.search(r"GLOBAL ([\w.]+)", str(error))
        if code is None:
            raise not_a_checkpoint(path) from None
        raise UsageError(
            f"{path} needs {code[1]} to be read, which could run any code; if you trust the file,"
            " save its weights alone as .safetensors and give that"
        ) from None
    except Exception:  # bytes of others make the reader stumble in every way
        raise not_a_checkpoint(path) from None
    if not isinstance(payload, dict):
        raise UsageError(f"{path} holds no weights by name but a {type(payload).__name__}")
    if not all(_is_plain(tensor) for tensor in _tensors_in(payload)):
        raise not_a_checkpoint(path)
    return payload


def not_a_checkpoint(path: Path) -> UsageError:
    """The refusal of a file of another kind."""
    return UsageError(f"{path} is not a checkpoint, or it is damaged")


def _is_zip(path: Path) -> bool:
    """Whether the file is of PyTorch's format since 1.6, which can be mapped.

    Its members stand there as they are: a compressed one would be mapped as noise, or grow without
    bounds.
    """
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("compressed members")
    return True


def _tensors_in(payload: dict[Any, Any]) -> Iterator[Tensor]:
    """All tensors, however deep; without recursion, and a container that is shared only once."""
    waiting: list[Any] = [payload]
    seen = set()
    while waiting:
        one = waiting.pop()
        if isinstance(one, Tensor):
            yield one
        elif isinstance(one, dict | list | tuple) and id(one) not in seen:
            seen.add(id(one))
            waiting += one.values() if isinstance(one, dict) else one


def _is_plain(tensor: Tensor) -> bool:
    """Whether all numbers are in the file; a view that repeats them would fill the memory."""
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
