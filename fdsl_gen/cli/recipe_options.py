"""Every setting of a recipe as an option of its command."""

import typing
from typing import Any

import click

from fdsl_gen.core import settings
from fdsl_gen.core.cli.flags import flags_of, read_flags
from fdsl_gen.recipe.recipe import Recipe, load_recipe
from fdsl_gen.variants import variant_class

_NOT_OPTIONS = ("schema", "name", "variant", "license", "train_recipe")


def recipe_options(name: str) -> list[click.Option]:
    """Options for every setting of a recipe, with its own values shown as defaults."""
    recipe = load_recipe(name)
    per_shard = click.Option(
        ["--samples-per-shard"], metavar="INTEGER", help="instead of --num-shards"
    )
    current = settings.to_dict(recipe.variant, defaults=True)
    return [
        *flags_of(Recipe, leave_out=_NOT_OPTIONS, current=recipe.to_dict(defaults=True)),
        per_shard,
        *flags_of(type(recipe.variant), current=current),
    ]


def load_with(name: str, values: dict[str, Any]) -> Recipe:
    """The recipe with the values that were given as options; takes them out of ``values``."""
    cls = variant_class(load_recipe(name).variant.KIND, name)
    annotations = typing.get_type_hints(Recipe) | typing.get_type_hints(cls)
    annotations["samples_per_shard"] = int
    own = {key: values.pop(key) for key in [*values] if key in annotations}
    return load_recipe(name, **read_flags(own, annotations))
