"""Print the tables of docs/benchmarks.md: ``python -m bench [RECIPE...] [--scaling]``."""

import platform
from datetime import date
from pathlib import Path

import click
import numba
import numpy as np

from bench.scaling import scaling_row
from bench.stages import stage_row
from fdsl_gen import Recipe, load_recipe
from fdsl_gen.core import recipe_files

STAGES = ("category", "render", "encode", "digest", "write")


def machine() -> str:
    """Processor, cores and versions."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return (
        f"{date.today()}, {len(names)} cores of {names[0] if names else platform.processor()},"
        f" Python {platform.python_version()}, NumPy {np.__version__}, numba {numba.__version__}"
    )


@click.command()
@click.argument("names", nargs=-1)
@click.option("--images", default=500, show_default=True, help="images of a run")
@click.option("--scaling", is_flag=True, help="also two workers against one")
def main(names: tuple[str, ...], images: int, scaling: bool) -> None:
    """Measure RECIPES (default: one of each kind), medians of 5 runs, one core."""
    chosen = names or one_of_each_kind()
    click.echo(machine())
    heads = ["recipe", "img/s", "best run", "attempts/img", *STAGES, "bytes/img"]
    click.echo(f"| {' | '.join(heads)} |")
    click.echo("|---" * len(heads) + "|")
    for name in chosen:
        row = stage_row(load_recipe(name), images)
        stages = " | ".join(f"{row[stage]:.3f}" for stage in STAGES)
        click.echo(
            f"| {name} | {row['rate']:,.0f} | {row['best']:,.0f} | {row['attempts']:.2f} | {stages}"
            f" | {row['bytes']:,.0f} |"
        )
    if not scaling:
        return
    click.echo("\n| recipe | 1 worker, img/s | 2 workers, img/s | ratio |")
    click.echo("|---|---|---|---|")
    for name in chosen:
        one, two = scaling_row(scaled(name))
        click.echo(f"| {name} | {one:,.0f} | {two:,.0f} | {two / one:.2f} |")


def one_of_each_kind() -> list[str]:
    """The first recipe of every kind, by name."""
    found: dict[str, str] = {}
    for name in recipe_files.recipe_names(recipe_files.recipe_folder()):
        found.setdefault(load_recipe(name).variant.KIND, name)
    return list(found.values())


def scaled(name: str) -> Recipe:
    """The recipe with about 6,000 images in 24 shards."""
    recipe = load_recipe(name)
    if recipe.variant.SCENE:
        return load_recipe(name, num_images=6000, num_shards=24)
    categories = max(1, 6000 // recipe.num_instances)
    return load_recipe(name, num_categories=categories, num_shards=24)


if __name__ == "__main__":
    main()
