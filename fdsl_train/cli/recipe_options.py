"""Every setting of a training recipe as a flag."""

import dataclasses
import typing
from collections.abc import Callable
from typing import Any, TypeVar

import click

from fdsl_gen.core import settings
from fdsl_gen.core.cli.flags import add_options, flag_of, flags_of, read_flags
from fdsl_gen.core.cli.help import in_group
from fdsl_gen.core.errors import UsageError
from fdsl_train.config import TrainConfig

F = TypeVar("F", bound=Callable[..., Any])

# Heading by the setting that comes first under it, in the order of TrainConfig.
_HEADINGS = {
    "batch_size": "length",
    "device": "machine",
    "model": "model",
    "steps": "length",
    "opt": "optimizer",
    "smoothing": "loss",
    "scale": "augmentation",
    "workers": "machine",
}
_COMMON = {"batch_size", "device", "seed", "model", "img_size", "steps", "epochs", "lr", "workers"}


def recipe_options(command: F) -> F:
    """Decorate a function that becomes a click command with a flag for every setting.

    ``--batch-size`` is timm's: images that one process passes through the model at once.
    """
    about = "images at once in one process, instead of --global-batch-size"
    size = click.Option(["--batch-size"], metavar="INTEGER", help=about)
    return add_options(command, grouped([size, *flags_of(TrainConfig, leave_out=("purpose",))]))


def grouped(options: list[click.Option]) -> list[click.Parameter]:
    """The flags of settings under the headings of the page, in its order."""
    found: dict[str, list[click.Parameter]] = {name: [] for name in _HEADINGS.values()}
    heading = ""
    for option in options:
        heading = _HEADINGS.get(option.name or "", heading)
        found[heading].append(option)
    return [option for name, own in found.items() for option in in_group(name, own, common=_COMMON)]


def overrides_of(given: dict[str, Any]) -> dict[str, Any]:
    """Settings from the values of :func:`recipe_options`, checked; taken out of ``given``.

    Raises:
        UsageError: names the flag.
    """
    annotations = typing.get_type_hints(TrainConfig) | {"batch_size": int}
    texts = {name: given.pop(name) for name in [*given] if name in annotations}
    flags = read_flags(texts, annotations)
    if "batch_size" in flags and "global_batch_size" in flags:
        raise UsageError("give --batch-size or --global-batch-size, not both")
    bounds = {field.name: field.metadata["bounds"] for field in dataclasses.fields(TrainConfig)}
    bounds["batch_size"] = bounds["global_batch_size"]
    return {
        name: settings.convert(value, annotations[name], flag_of(name), bounds[name])
        for name, value in flags.items()
    }
