"""Command flags from the settings of a recipe: one flag per setting, with its meaning as help."""

import dataclasses
import types
import typing
from collections.abc import Callable
from typing import Any, TypeVar

import click

from fdsl_gen.core import settings
from fdsl_gen.core.errors import UsageError
from fdsl_train.config import TrainConfig

F = TypeVar("F", bound=Callable[..., Any])

_NOT_FLAGS = ("purpose",)


def _inner(annotation: Any) -> tuple[Any, bool]:
    """The type without ``| None``, and whether None is allowed."""
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        choices = typing.get_args(annotation)
        return next(choice for choice in choices if choice is not type(None)), True
    return annotation, False


def _parse(text: str, annotation: Any) -> Any:
    """The value a flag's text stands for; what does not fit is left to the schema to refuse."""
    inner, nullable = _inner(annotation)
    if nullable and text.lower() in ("none", "null"):
        return None
    if typing.get_origin(inner) is tuple:
        (item, _) = typing.get_args(inner)
        return [_parse(part, item) for part in text.replace(",", " ").split()]
    if inner in (int, float):
        for number in (int, float):
            try:
                return number(text)
            except ValueError:
                continue
    return text


def _metavar(annotation: Any) -> str:
    inner, _ = _inner(annotation)
    if typing.get_origin(inner) is typing.Literal:
        return "|".join(typing.get_args(inner))
    if typing.get_origin(inner) is tuple:
        return "NUMBER,NUMBER,..."
    return {int: "INTEGER", float: "NUMBER", str: "TEXT"}[inner]


def recipe_options(command: F) -> F:
    """Decorate a click command with a flag for every setting; values arrive as texts or booleans.

    ``--batch-size`` is timm's: images that one process passes through the model at once.
    """
    annotations = typing.get_type_hints(TrainConfig)
    for field in reversed(dataclasses.fields(TrainConfig)):
        if field.name in _NOT_FLAGS:
            continue
        flag = "--" + field.name.replace("_", "-")
        doc = field.metadata["doc"]
        if annotations[field.name] is bool:
            option = click.option(f"{flag}/--no-{flag[2:]}", default=None, help=doc)
        else:
            option = click.option(flag, metavar=_metavar(annotations[field.name]), help=doc)
        command = option(command)
    about = "images at once in one process, instead of --global-batch-size"
    size = click.option("--batch-size", metavar="INTEGER", help=about)
    return size(command)


def overrides_of(given: dict[str, Any]) -> dict[str, Any]:
    """Settings from the values of :func:`recipe_options`, checked one by one.

    Raises:
        UsageError: names the flag.
    """
    flags = {name: value for name, value in given.items() if value is not None}
    if "batch_size" in flags and "global_batch_size" in flags:
        raise UsageError("give --batch-size or --global-batch-size, not both")
    annotations = typing.get_type_hints(TrainConfig) | {"batch_size": int}
    bounds = {field.name: field.metadata["bounds"] for field in dataclasses.fields(TrainConfig)}
    bounds["batch_size"] = bounds["global_batch_size"]
    values = {}
    for name, value in flags.items():
        parsed = _parse(value, annotations[name]) if isinstance(value, str) else value
        path = "--" + name.replace("_", "-")
        values[name] = settings.convert(parsed, annotations[name], path, bounds[name])
    return values
