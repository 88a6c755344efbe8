"""The folder a run writes to: who may start or continue in it."""

from pathlib import Path
from typing import Any

import yaml

from fdsl_gen import __version__
from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.path_names import check_path
from fdsl_gen.storage import local
from fdsl_train.config import Resolved
from fdsl_train.training import checkpoint
from fdsl_train.training.checkpoint import BEST, LAST

ARGS = "args.yaml"
EXPORT = "export"
FRESH = "from scratch"
_SHORT = 12  # digits of a digest that people compare

# These may differ between a run and its continuation: they change no weight, or (device, threads,
# grad_checkpointing) only its last bits.
FREE_ON_RESUME = frozenset(
    {"workers", "log_every", "checkpoint_every", "threads", "device", "decoded_cache", "log_to"}
    | {"grad_checkpointing", "profile"}
)


def open_output(folder: Path, *, resume: bool) -> dict[str, Any] | None:
    """Make the folder ready, and read the checkpoint to continue from.

    Args:
        folder: made if missing.
        resume: whether a run that stands there may be continued.

    Returns:
        The last checkpoint, or None if the run begins.

    Raises:
        UsageError: if the folder cannot be written, or holds something that must not be touched.
    """
    try:
        check_path(folder).mkdir(parents=True, exist_ok=True)
        taken = any(folder.iterdir())
    except OSError as error:
        raise UsageError(f"cannot make the output folder {folder}: {error.strerror}") from None
    if taken and not (folder / ARGS).exists():
        raise UsageError(f"{folder} is not empty and not a run of fdsl-train; choose another")
    if taken and not resume:
        raise UsageError(
            f"{folder} holds a run already; continue it with --resume auto, or choose another"
        )
    local.sweep(folder, [LAST, BEST, ARGS])
    if not (folder / LAST).exists():
        return None
    saved = checkpoint.load(folder / LAST)
    kinds = {"step": int, "config": dict, "data": str, "start": str, "best": dict, "latest": dict}
    for name, kind in kinds.items():
        if not isinstance(saved.get(name), kind):
            raise UsageError(f"{folder / LAST} holds no state of a run: {name} is missing")
    return saved


def check_same_run(
    folder: Path, saved: dict[str, Any], config: Resolved, data: str, start: str
) -> None:
    """Refuse to continue a run of other data, other first weights or other settings.

    Args:
        folder: for the message.
        saved: the checkpoint.
        config: what is asked for now.
        data: digest of the data now.
        start: digest of the weights to start from now; empty for freshly drawn ones.
    """
    if saved["data"] != data:
        raise UsageError(f"{folder} was trained on other data; choose another --output")
    if saved["start"] != start:
        raise UsageError(f"{folder} was started from other weights; choose another --output")
    changed = differences(checkpoint.plain(config.to_dict()), saved["config"])
    if changed:
        raise UsageError(f"{folder} cannot be continued with other settings: {'; '.join(changed)}")


def write_args(folder: Path, config: Resolved, data: str, digest: str, start: str) -> None:
    """Write ``args.yaml``: the resolved recipe, under a comment that says what ran.

    Args:
        folder: the run's.
        config: the resolved recipe.
        data: where the data was, for the comment.
        digest: of the data.
        start: what the weights came from; empty for freshly drawn ones.
    """
    head = f"# {folder.name}: resolved by fdsl-train {__version__}, data {data}\n"
    head += f"# data {digest[:_SHORT]}, start {start or FRESH}\n"
    body = yaml.safe_dump(checkpoint.plain(config.to_dict()), sort_keys=False)
    try:
        local.write(folder / ARGS, (head + body).encode())
    except OSError as error:
        raise UsageError(f"cannot write into {folder}: {error.strerror}") from None


def differences(now: dict[str, Any], then: dict[str, Any]) -> list[str]:
    """Settings that keep a run from continuing another, as ``name: now, then`` texts."""
    return [
        f"{name} is {now.get(name)}, was {then.get(name)}"
        for name in sorted(now.keys() | then.keys())
        if name not in FREE_ON_RESUME and now.get(name) != then.get(name)
    ]
