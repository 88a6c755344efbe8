"""Every setting of a recipe as an option of its command."""

from typing import Any

import click

from fdsl_gen.core import settings
from fdsl_gen.core.cli.flags import flags_of, read_flags
from fdsl_gen.core.cli.help import in_group
from fdsl_gen.core.errors import UsageError
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
    said = recipe.to_dict(defaults=True)
    now = {key: value for key, value in said.items() if key not in _NOT_OPTIONS}
    counts = flags_of(Recipe, leave_out=_NOT_OPTIONS, current=now)
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


def swept_png(file: RecipeFile, sweeps: tuple[str, ...], values: dict[str, Any]) -> bytes:
    """One sample of a recipe under every value of one or two settings, as a labeled PNG.

    Args:
        file: of the recipe.
        sweeps: ``setting=value,value,...``, one or two; the first gives the columns.
        values: other settings that were given as options.

    Raises:
        UsageError: if a text is no sweep, or a setting or value cannot be.
    """
    from fdsl_gen.dataset.contact_sheet import sweep_png

    if len(sweeps) > 2:
        raise UsageError("--sweep: a sheet has columns and rows, so at most two settings")
    types = file.types
    asked: list[tuple[str, list[str]]] = []
    for text in sweeps:
        key, sign, several = text.partition("=")
        key = key.strip().replace("-", "_")
        if not sign or not several.strip(", "):
            raise UsageError(f"--sweep: must look like delta=.01,.1,.4, not {text!r}")
        if key not in types:
            raise UsageError(
                f"--sweep: {file.name} has no setting '{key}'{settings.nearest(key, types)}"
            )
        asked.append((key, several.replace(",", " ").split()))
    columns, rows = [*asked, ("", [""])][:2]

    def with_values(row: str, column: str) -> Recipe:
        given = {columns[0]: column} | ({rows[0]: row} if rows[0] else {})
        return recipe_with(file, dict(values) | given)

    return sweep_png(
        [[with_values(row, column) for column in columns[1]] for row in rows[1]],
        [f"{rows[0]} {row}".strip() for row in rows[1]],
        [f"{columns[0]} {column}" for column in columns[1]],
        [key for key, _ in asked],
    )
