"""The command on categories: their parameters, and the search for them or a task's share."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fdsl_gen.cli.executor_options import executor_options, resolve_execution
from fdsl_gen.core.cli.help import PagedCommand, in_group
from fdsl_gen.core.cli.paths import FILE
from fdsl_gen.core.errors import UsageError
from fdsl_gen.executors import Executor
from fdsl_gen.executors.job_array import ArrayTask
from fdsl_gen.storage.flags import PLACE, storage_options, take_storage

if TYPE_CHECKING:
    from fdsl_gen.dataset.store import DatasetStore
    from fdsl_gen.recipe.recipe import Recipe, RecipeFile


def categories_command(recipe: str) -> click.Command:
    """``fdsl-gen categories RECIPE`` with an option for every setting of the recipe."""
    from fdsl_gen.cli.recipe_options import recipe_options
    from fdsl_gen.recipe.recipe import read_recipe_file

    file = read_recipe_file(recipe)
    own = [
        click.Option(
            ["--out"],
            type=PLACE,
            help="file that ends in .csv: write their parameters there; else place of the dataset"
            " to be, which keeps the search",
        ),
        click.Option(["--table"], type=FILE, help="write the parameters there as well (CSV)"),
        click.Option(["--picture"], type=FILE, help="write a PNG with one image of each"),
        click.Option(["--workers"], type=click.IntRange(min=1), help="processes"),
    ]
    params = [
        *in_group("output", own),
        *recipe_options(file),
        *in_group("storage", storage_options(), common=()),
        *in_group("cluster", executor_options(), common=()),
    ]

    def callback(**values: Any) -> None:
        _categories(file, **values)

    about = "Parameters of the categories of the recipe with these settings."
    return PagedCommand("categories", params=params, callback=callback, help=about)


def _categories(
    file: "RecipeFile",
    out: Path | str | None,
    table: Path | None,
    picture: Path | None,
    workers: int | None,
    **values: Any,
) -> None:
    import tempfile

    from fdsl_gen.build.generate import find_all
    from fdsl_gen.cli.recipe_options import recipe_with
    from fdsl_gen.core.progress import Progress
    from fdsl_gen.dataset.store import lock_dataset

    if isinstance(out, Path) and out.suffix == ".csv":
        if table is not None:
            raise UsageError("--out FILE.csv and --table say the same; give one of them")
        out, table = None, out
    elsewhere = values["scheduler"] is not None or values["scheduler_file"] is not None
    executor, array_task, workers = resolve_execution(values, workers)
    storage = take_storage(values)
    recipe = recipe_with(file, values)
    if not recipe.variant.SEARCHED:
        if out is not None or elsewhere or array_task is not None:
            raise UsageError(
                f"the categories of {recipe.name} are drawn directly, not searched for; give --out"
                " FILE.csv for their parameters"
            )
        _write(recipe, None, table, picture, None)
        return
    if out is None and (elsewhere or array_task is not None):
        raise UsageError("say where other hosts and tasks find the categories: --out DIR")
    if out is not None and array_task is not None:
        if table is not None or picture is not None:
            raise UsageError("--table and --picture need all categories; ask after the array")
        _search_array_task(
            lock_dataset(out, recipe, storage=storage), array_task, workers, executor
        )
        return
    with tempfile.TemporaryDirectory() as temporary, Progress("category") as progress:
        dataset = lock_dataset(temporary if out is None else out, recipe, storage=storage)
        find_all(dataset, workers, progress, executor=executor)
        _write(dataset.recipe, dataset.categories, table, picture, out)


def _write(
    recipe: "Recipe",
    cache: Path | None,
    table: Path | None,
    picture: Path | None,
    out: Path | str | None,
) -> None:
    """Write table and picture, and say where; print the table if nothing was to be written."""
    from fdsl_gen.dataset.contact_sheet import categories_png
    from fdsl_gen.recipe.jobs import categories_csv
    from fdsl_gen.storage import local

    if picture is not None and recipe.variant.SCENE:
        raise UsageError("--picture shows a category in an image; images of scenes hold several")
    text = categories_csv(recipe, cache)
    if table is not None:
        with local.at_place_of_user(table):
            local.write(table, text.encode())
    if picture is not None:
        with local.at_place_of_user(picture):
            local.write(picture, categories_png(recipe, cache))
    written = [str(path) for path in (out, table, picture) if path is not None]
    click.echo("\n".join(written) if written else text, nl=bool(written))


def _search_array_task(
    dataset: "DatasetStore", array_task: ArrayTask, workers: int | None, executor: Executor | None
) -> None:
    """Search a task's share of the categories, and tell what is left."""
    from fdsl_gen.build.category_search import missing_blocks
    from fdsl_gen.build.generate import find_all
    from fdsl_gen.core.progress import Progress

    click.echo(f"{array_task}{array_task.origin}", err=True)
    with Progress("category") as progress:
        find_all(dataset, workers, progress, executor=executor, array_task=array_task)
    left = len(missing_blocks(dataset.recipe, dataset.categories))
    where = dataset.url
    click.echo(
        f"{array_task} is done; {left:,} blocks of categories in {where} are left for others"
    )
