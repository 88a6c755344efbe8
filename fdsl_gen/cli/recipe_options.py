"""Command line options made from settings, so that every setting of a recipe is one."""

import dataclasses
import types
import typing
from typing import Any, Literal

import click

from fdsl_gen.core import settings
from fdsl_gen.recipe.recipe import Recipe, load_recipe
from fdsl_gen.variants import variant_class

_TYPES = {int: "INTEGER", float: "NUMBER", str: "TEXT", bool: "BOOLEAN"}
_NOT_OPTIONS = {"schema", "name", "variant", "license", "train_recipe"}


def _metavar(annotation: Any) -> str:
    origin, choices = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (types.UnionType, typing.Union):
        return _metavar(choices[0])
    if origin is Literal:
        return f"[{'|'.join(map(str, choices))}]"
    return _TYPES.get(annotation, "YAML")


def _value(text: str, annotation: Any) -> Any:
    """An option's text as YAML would read it; texts stay as they are."""
    if annotation is str or str in typing.get_args(annotation):
        return text
    return settings.parse_yaml(text)


def _options(cls: type, current: dict[str, Any]) -> list[click.Option]:
    annotations = typing.get_type_hints(cls)
    options = []
    for field in dataclasses.fields(cls):
        if field.name in _NOT_OPTIONS:
            continue
        annotation = annotations[field.name]
        flag = f"--{field.name.replace('_', '-')}"
        shown = current[field.name]
        about = field.metadata["doc"] + ("" if shown is None else f"  [now: {shown}]")
        if annotation is bool:
            option = click.Option([f"{flag}/--no-{flag[2:]}"], default=None, help=about)
        else:
            option = click.Option([flag], metavar=_metavar(annotation), help=about)
        options.append(option)
    return options


def recipe_options(name: str) -> list[click.Option]:
    """Options for every setting of a recipe, with its own values shown as defaults."""
    recipe = load_recipe(name)
    per_shard = click.Option(
        ["--samples-per-shard"], metavar="INTEGER", help="instead of --num-shards"
    )
    variant = type(recipe.variant)
    return [
        *_options(Recipe, recipe.to_dict(defaults=True)),
        per_shard,
        *_options(variant, settings.to_dict(recipe.variant, defaults=True)),
    ]


def load_with(name: str, values: dict[str, Any]) -> Recipe:
    """The recipe with the values that were given as options; takes them out of ``values``."""
    cls = variant_class(load_recipe(name).variant.KIND, name)
    annotations = typing.get_type_hints(Recipe) | typing.get_type_hints(cls)
    annotations["samples_per_shard"] = int
    overrides = {}
    for key in [key for key in values if key in annotations]:
        given = values.pop(key)
        if given is not None:
            annotation = annotations[key]
            overrides[key] = _value(given, annotation) if isinstance(given, str) else given
    return load_recipe(name, **overrides)
