"""The state of a run on disk.

A checkpoint is a dictionary of tensors, numbers, texts, lists and dictionaries, so that
``torch.load(weights_only=True)`` reads it, and any program that knows timm's key ``model``. It
appears under its name whole or not at all, and holds a digest of all the rest.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fdsl_gen.core.errors import FdslError, Mismatch, UsageError
from fdsl_gen.storage import local
from fdsl_train.models.torch_file import not_a_checkpoint, read_torch_file
from fdsl_train.models.value_digest import value_digest
from fdsl_train.training.presence import check_present

FORMAT = 2
LAST = "last.pth.tar"
BEST = "model_best.pth.tar"


def plain(value: Any, of_tensor: Callable[[Tensor], Tensor] | None = None) -> Any:
    """``value`` with tuples as lists and ordered dictionaries as plain ones.

    Args:
        value: what a checkpoint may hold.
        of_tensor: what stands for a tensor; None: the tensor itself.

    Raises:
        TypeError: if anything in it is of another kind than a checkpoint may hold.
    """
    if isinstance(value, Tensor):
        return value if of_tensor is None else of_tensor(value)
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, dict):
        return {key: plain(item, of_tensor) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, of_tensor) for item in value]
    raise TypeError(f"a checkpoint cannot hold {type(value).__name__}")


def save(path: Path, payload: dict[str, Any]) -> None:
    """Write a checkpoint, replacing what stands there in one step.

    Raises:
        FdslError: if it cannot be written; what stood there stays.
    """
    whole = plain(payload | {"format": FORMAT})
    buffer = io.BytesIO()
    torch.save(whole | {"digest": value_digest(whole)}, buffer)
    check_present(path.parent)
    try:
        local.write(path, buffer.getvalue())
    except OSError as error:
        kept = "the one before it is whole" if path.exists() else "there is none before it"
        raise FdslError(
            f"cannot write the checkpoint {path}: {error.strerror or error}; {kept}; make room and"
            " start the same command with --resume auto"
        ) from None


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint, tensors on the CPU and mapped from the file.

    Raises:
        UsageError: if there is none, or it is not one of ours.
        Mismatch: if it is not as it was written.
    """
    payload = read_torch_file(path)
    if not is_ours(payload):
        raise not_ours(path)
    check(path, payload)
    return payload


def is_ours(payload: dict[str, Any]) -> bool:
    """Whether a file was written by this module, even if one of its names is damaged."""
    return len({"format", "config", "digest"} & payload.keys()) > 1


def check(path: Path, payload: dict[str, Any]) -> None:
    """Refuse a checkpoint of ours that is not as it was written.

    Raises:
        UsageError: if it is of another version.
        Mismatch: if it is damaged.
    """
    if payload.get("format") != FORMAT:
        raise not_ours(path)
    rest = {name: value for name, value in payload.items() if name != "digest"}
    try:
        sound = payload.get("digest") == value_digest(rest)
    except (TypeError, ValueError, RuntimeError):
        raise not_a_checkpoint(path) from None
    if not sound:
        raise Mismatch(
            f"{path} is damaged: its content does not fit the digest in it; take another copy, or"
            f" {BEST} of the same run"
        )


def not_ours(path: Path) -> UsageError:
    """The refusal of a checkpoint of others, or of another version."""
    return UsageError(f"{path} is not a checkpoint made by this version of fdsl-train")
