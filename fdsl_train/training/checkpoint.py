"""The state of a run on disk.

A checkpoint is a dictionary of tensors, numbers, texts, lists and dictionaries, so that
``torch.load(weights_only=True)`` reads it, and any program that knows timm's key ``model``. It
appears under its name whole or not at all.
"""

import io
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fdsl_gen import store
from fdsl_gen.core.errors import UsageError

FORMAT = 1
LAST = "last.pth.tar"
BEST = "model_best.pth.tar"


def plain(value: Any) -> Any:
    """``value`` with tuples as lists and ordered dictionaries as plain ones.

    Raises:
        TypeError: if anything in it is of another kind than a checkpoint may hold.
    """
    if value is None or isinstance(value, Tensor) or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    raise TypeError(f"a checkpoint cannot hold {type(value).__name__}")


def save(path: Path, payload: dict[str, Any]) -> None:
    """Write a checkpoint, replacing what stands there in one step."""
    buffer = io.BytesIO()
    torch.save(plain(payload | {"format": FORMAT}), buffer)
    store.write(path, buffer.getvalue())


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint, tensors on the CPU.

    Raises:
        UsageError: if there is none, or it is not one of ours.
    """
    try:
        payload = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UsageError(f"no such checkpoint: {path}") from None
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError):
        raise UsageError(f"{path} is not a checkpoint, or it is damaged") from None
    if not isinstance(payload, dict) or payload.get("format") != FORMAT:
        raise UsageError(f"{path} is not a checkpoint made by this version of fdsl-train")
    return payload
