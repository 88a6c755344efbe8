"""Every setting of a recipe as an option of its command."""

from typing import Any

import click

from fdsl_gen.core import settings
from fdsl_gen.core.cli.flags import flags_of, read_flags
from fdsl_gen.core.cli.help import in_group
from fdsl_gen.recipe.recipe import Recipe, RecipeFile

_COMMON = ("num_categories", "num_instances", "num_images", "validation_instances", "seed")
_TABLES = ("categories_from", "categories_sha256")
_NOT_OPTIONS = ("schema", "name", "variant", "license", "train_recipe")


def recipe_options(file: RecipeFile) -> list[click.Option]:
    """Options for every setting of a recipe, with its own values shown as defaults."""
    recipe = file.recipe()
    per_shard = click.Option(
        ["--samples-per-shard"], metavar="INTEGER", help="instead of --num-shards"
    )
    current = settings.to_dict(recipe.variant, defaults=True)
    counts = flags_of(Recipe, leave_out=_NOT_OPTIONS, current=recipe.to_dict(defaults=True))
    formula = flags_of(type(recipe.variant), current=current)
    return [
        *in_group("data", [*counts, per_shard], common=_COMMON),
        *in_group("formula", formula, common={name for name in current if name not in _TABLES}),
    ]


def recipe_with(file: RecipeFile, values: dict[str, Any]) -> Recipe:
    """The recipe with the values that were given as options; takes them out of ``values``."""
    types = file.types
    texts = {key: values.pop(key) for key in [*values] if key in types}
    return file.recipe(**read_flags(texts, types))
