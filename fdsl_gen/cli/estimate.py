"""``fdsl-gen estimate NAME``: what a dataset will take."""

from typing import TYPE_CHECKING, Any

import click

from fdsl_gen.core import recipe_files
from fdsl_gen.core.cli.help import PagedCommand

if TYPE_CHECKING:
    from fdsl_gen.build.estimate import Estimate
    from fdsl_gen.recipe.recipe import RecipeFile


def estimate_command(name: str) -> click.Command:
    """``fdsl-gen estimate NAME`` with an option for every setting of the recipe."""
    from fdsl_gen.cli.recipe_options import recipe_options
    from fdsl_gen.recipe.recipe import read_recipe_file

    file = read_recipe_file(name)
    count = click.IntRange(min=1)
    params: list[click.Parameter] = [
        click.Option(
            ["--cores"], type=count, multiple=True, help="say the time on so many cores as well"
        ),
        click.Option(
            ["--price"], type=click.FloatRange(min=0), help="of a core hour, for the cost"
        ),
        click.Option(
            ["--seconds"],
            type=click.FloatRange(min=0, min_open=True, max=3600),
            default=10.0,
            show_default=True,
            help="how long to draw; longer where images differ much",
        ),
        click.Option(["--workers"], type=count, help="processes  [default: CPUs granted]"),
        *recipe_options(file),
    ]

    def callback(**values: Any) -> None:
        _estimate(file, **values)

    about = f"Draw some of {recipe_files.headline(file.path)}, and say what all of it takes."
    return PagedCommand("estimate", params=params, callback=callback, help=about)


def _estimate(
    file: "RecipeFile",
    cores: tuple[int, ...],
    price: float | None,
    seconds: float,
    workers: int | None,
    **values: Any,
) -> None:
    from fdsl_gen.build.estimate import estimate
    from fdsl_gen.cli.recipe_options import recipe_with

    found = estimate(recipe_with(file, values), seconds=seconds, workers=workers)
    click.echo("\n".join(estimate_lines(found, cores, price)))


def estimate_lines(found: "Estimate", cores: tuple[int, ...], price: float | None) -> list[str]:
    """An estimate in words, a line for each thing."""
    from fdsl_gen.recipe.order import shards_of

    recipe = found.recipe
    shards = len(shards_of(recipe))
    hours = found.core_seconds / 3600
    rows = [
        ("images", f"{recipe.num_samples:,} in {recipe.num_categories:,} categories"),
        ("bytes", f"{size(found.bytes)}{_spread(found.spread(lambda e: e.bytes))}"),
        ("core hours", f"{hours:,.2g}{_spread(found.spread(lambda e: e.core_seconds))}"),
        (
            "time here",
            f"{duration(found.wall(found.workers))}, {found.workers} {_processes(found.workers)}",
        ),
        *((f"{count:,} cores", duration(found.wall(count))) for count in cores),
        ("shards", f"{shards:,} of {size(found.bytes / shards)}"),
        ("memory", f"{size(found.memory)} a process"),
    ]
    if price is not None:
        rows.append(("cost", f"{hours * price:,.2f} at {price:g} a core hour"))
    search = found.search_wall(found.workers)
    if search:
        rows.insert(4, ("", f"{duration(search)} of it to search categories"))
    head = f"{recipe.name}: drew {found.drawn:,} images in {len(found.pieces)} places"
    return [head, *(f"  {name:<12}{text}" for name, text in rows)]


def _processes(count: int) -> str:
    return "process" if count == 1 else "processes"


def duration(seconds: float) -> str:
    """Seconds in the unit that people say, two digits."""
    units = (("days", 86_400), ("h", 3600), ("min", 60), ("s", 1))
    unit, one = next((u for u in units if seconds >= 2 * u[1]), units[-1])
    return f"{seconds / one:,.{0 if seconds >= 10 * one else 1}f} {unit}"


def size(count: float) -> str:
    """Bytes in the unit that people say, three digits."""
    units = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3))
    unit, one = next((u for u in units if count >= u[1]), units[-1])
    digits = 0 if count >= 100 * one else 1 if count >= 10 * one else 2
    return f"{count / one:,.{digits}f} {unit}"


def _spread(share: float) -> str:
    """Two standard errors."""
    return f" +- {100 * share:.1f} %" if share else ""
