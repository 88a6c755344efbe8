"""Weights in files of others: timm's, and those that the authors of papers publish.

Nothing in a file is executed: pickles are read with ``weights_only=True``, which knows tensors and
plain values. ``argparse.Namespace`` is allowed besides, because training scripts of this field save
their arguments as one; it is a bag of plain values.
"""

import argparse
import pickle
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from fdsl_gen.core.errors import UsageError

_WEIGHTS = ("model", "state_dict")  # where timm, DeiT, MAE and others put them
_AVERAGED = ("state_dict_ema", "model_ema")
_WRAPPERS = ("module.", "_orig_mod.")  # left by DistributedDataParallel and torch.compile


def load_file_of(path: Path) -> dict[str, Any]:
    """What a ``.safetensors`` file or a pickle of PyTorch holds, tensors on the CPU.

    Raises:
        UsageError: if there is no such file, it is damaged, or reading it would run code.
    """
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        with torch.serialization.safe_globals([argparse.Namespace]):
            payload = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UsageError(f"no such checkpoint: {path}") from None
    except pickle.UnpicklingError as error:
        code = re.search(r"GLOBAL ([\w.]+)", str(error))
        if code is None:
            raise UsageError(f"{path} is not a checkpoint, or it is damaged") from None
        raise UsageError(
            f"{path} needs {code[1]} to be read, which could run any code; if you trust the file,"
            " save its weights alone as .safetensors and give that"
        ) from None
    except (OSError, RuntimeError, EOFError, ValueError, SafetensorError):
        raise UsageError(f"{path} is not a checkpoint, or it is damaged") from None
    if not isinstance(payload, dict):
        raise UsageError(f"{path} holds no weights by name but a {type(payload).__name__}")
    return payload


def weights_in(payload: dict[str, Any], name: str, *, averaged: bool) -> dict[str, Tensor]:
    """The weights of a model, by name, without what wrappers put before the names.

    Args:
        payload: from :func:`load_file_of`.
        name: of the file, for messages.
        averaged: take the moving average that was kept beside the weights.

    Raises:
        UsageError: if there are none.
    """
    places = _AVERAGED if averaged else _WEIGHTS
    found = next((payload[key] for key in places if isinstance(payload.get(key), dict)), None)
    if averaged and found is None:
        raise UsageError(f"{name} holds no averaged weights; leave --use-ema out")
    weights = {
        _bare(key): value
        for key, value in (payload if found is None else found).items()
        if isinstance(value, Tensor)
    }
    if not weights:
        raise UsageError(
            f"{name} holds no weights, neither at its top nor under {' or '.join(_WEIGHTS)}"
        )
    return weights


def model_name_in(payload: dict[str, Any]) -> str | None:
    """The model that the file says its weights are of; timm's training script writes it."""
    name = payload.get("arch")
    return name if isinstance(name, str) else None


def _bare(key: str) -> str:
    while key.startswith(_WRAPPERS):
        key = key.partition(".")[2]
    return key
