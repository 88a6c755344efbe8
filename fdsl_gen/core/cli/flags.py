"""Command line flags made from settings: a flag for every field, one grammar of values.

``none`` unsets what may be unset, lists are ``1,2,3``, and what YAML writes in brackets is taken
as well. What does not fit the type is left as text, so that the settings refuse it with its name.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar

import click

from fdsl_gen.core import settings

F = TypeVar("F", bound=Callable[..., Any])

_METAVARS = {int: "INTEGER", float: "NUMBER", str: "TEXT"}


def flag_of(name: str) -> str:
    """The flag of a field: ``--image-size`` for ``image_size``."""
    return "--" + name.replace("_", "-")


def _without_none(annotation: Any) -> tuple[Any, bool]:
    """The type without ``| None``, and whether None is allowed."""
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        choices = typing.get_args(annotation)
        return next(choice for choice in choices if choice is not type(None)), True
    return annotation, False


def _metavar(annotation: Any) -> str:
    inner, _ = _without_none(annotation)
    if typing.get_origin(inner) is Literal:
        return "|".join(map(str, typing.get_args(inner)))
    if typing.get_origin(inner) is tuple:
        (item, _) = typing.get_args(inner)
        flat = item in _METAVARS or typing.get_origin(item) is Literal
        return f"{_metavar(item)},..." if flat else "[[...],...]"
    return _METAVARS[inner]


def parse_value(text: str, annotation: Any) -> Any:
    """What the text of a flag stands for.

    Args:
        text: as typed.
        annotation: type of the field: int, float, bool, str, Literal, tuple[X, ...], any of them or
            None.

    Returns:
        None, a number, true or false, a list or the text itself; not checked yet.
    """
    inner, nullable = _without_none(annotation)
    if nullable and text.lower() in ("none", "null"):
        return None
    if inner is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    if typing.get_origin(inner) is tuple:
        if text.lstrip().startswith("["):
            return settings.parse_yaml(text)
        (item, _) = typing.get_args(inner)
        return [parse_value(part, item) for part in text.replace(",", " ").split()]
    kinds = {type(choice) for choice in typing.get_args(inner)} or {inner}
    return text if str in kinds else _number(text)


def _number(text: str) -> int | float | str:
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def flags_of(
    cls: type, *, leave_out: Iterable[str] = (), current: Mapping[str, Any] | None = None
) -> list[click.Option]:
    """Options for the fields of a settings class; values arrive as texts or booleans.

    Args:
        cls: a dataclass with fields made by :func:`settings.setting`.
        leave_out: names of fields that are no flags.
        current: values that help shows as those without the flag.
    """
    annotations = typing.get_type_hints(cls)
    options = []
    for field in dataclasses.fields(cls):
        if field.name in leave_out:
            continue
        annotation, flag = annotations[field.name], flag_of(field.name)
        now = None if current is None else current[field.name]
        about = field.metadata["doc"] + ("" if now is None else f"  [now: {now}]")
        if annotation is bool:
            option = click.Option([f"{flag}/--no-{flag[2:]}"], default=None, help=about)
        else:
            option = click.Option([flag], metavar=_metavar(annotation), help=about)
        options.append(option)
    return options


def add_options(command: F, options: list[click.Parameter]) -> F:
    """Give a function that becomes a click command more options, in this order."""
    known = getattr(command, "__click_params__", [])
    command.__click_params__ = [*known, *reversed(options)]  # type: ignore[attr-defined]
    return command


def read_flags(given: Mapping[str, Any], annotations: Mapping[str, Any]) -> dict[str, Any]:
    """Values of the flags that were typed, by the name of their field.

    Args:
        given: values of a command, by name; None where a flag was left away.
        annotations: types by name; other names are passed over.
    """
    return {
        name: parse_value(value, annotations[name]) if isinstance(value, str) else value
        for name, value in given.items()
        if name in annotations and value is not None
    }
