"""``fdsl-gen NAME --out DIR``: render a recipe."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fdsl_gen.cli.executor_options import (
    estimate_command_of,
    executor_options,
    finalize_command,
    resolve_execution,
    search_command,
    this_command,
)
from fdsl_gen.core import recipe_files
from fdsl_gen.core.cli.help import PagedCommand, in_group
from fdsl_gen.core.cli.paths import PATH
from fdsl_gen.core.errors import ShardsFailed, UsageError
from fdsl_gen.storage.flags import PLACE, storage_options, take_storage

if TYPE_CHECKING:
    from fdsl_gen.recipe.recipe import RecipeFile


def generate_command(name: str) -> click.Command:
    """``fdsl-gen NAME --out DIR`` with an option for every setting of the recipe."""
    from fdsl_gen.cli.recipe_options import recipe_options
    from fdsl_gen.recipe.recipe import read_recipe_file

    file = read_recipe_file(name)
    params: list[click.Parameter] = [
        *in_group(
            "output",
            [
                click.Option(
                    ["--out"], type=PLACE, help="folder of the dataset, or s3://BUCKET/PREFIX"
                ),
                click.Option(
                    ["--workers"],
                    type=click.IntRange(min=1),
                    help="processes  [default: CPUs granted]",
                ),
                click.Option(
                    ["--overwrite"], is_flag=True, help="delete the dataset that stands there"
                ),
                click.Option(["--dry-run"], is_flag=True, help="say what would be made, and stop"),
            ],
        ),
        *recipe_options(file),
        *in_group(
            "storage",
            [
                click.Option(["--tmp-dir"], type=PATH, help="where shards for s3:// are built"),
                *storage_options(),
            ],
            common=(),
        ),
        *in_group("cluster", executor_options(), common=()),
    ]

    def callback(**values: Any) -> None:
        _generate(name, file, **values)

    about = f"Render {recipe_files.headline(file.path)}."
    return PagedCommand(name, params=params, callback=callback, help=about)


def _generate(
    name: str,
    file: "RecipeFile",
    out: Path | str | None,
    tmp_dir: Path | None,
    workers: int | None,
    overwrite: bool,
    dry_run: bool,
    **values: Any,
) -> None:
    from fdsl_gen.build.array_task import render_array_task
    from fdsl_gen.build.generate import generate
    from fdsl_gen.cli.estimate import size
    from fdsl_gen.cli.recipe_options import recipe_with
    from fdsl_gen.core.progress import Progress
    from fdsl_gen.recipe.order import shards_of

    executor, array_task, workers = resolve_execution(values, workers)
    how: dict[str, Any] = {"workers": workers, "executor": executor, "tmp_dir": tmp_dir}
    how["storage"] = take_storage(values)
    recipe = recipe_with(file, values)
    if array_task is not None:
        total = len(shards_of(recipe))
        mine = len(array_task.of(range(total)))
        share = f"{array_task}: {mine:,} of {total:,} shards{array_task.origin}"
        click.echo(share, err=not dry_run)
        if overwrite:
            raise UsageError(
                "--overwrite in a task of a job array would delete what the other tasks wrote;"
                " give another --out, or delete the dataset before the array begins"
            )
    room = size(recipe.estimated_bytes(recipe.num_samples))
    plan = (
        f"{recipe.name}: {recipe.num_samples:,} images, {recipe.num_categories:,} categories,"
        f" {len(shards_of(recipe)):,} shards, about {room}"
    )
    if dry_run:
        click.echo(plan)
        click.echo(f"measure it, with time and memory: {estimate_command_of(name)}")
        return
    if out is None:
        raise UsageError("say where the dataset goes: --out DIR or --out s3://BUCKET/PREFIX")
    click.echo(plan, err=True)
    with Progress() as progress:
        try:
            if array_task is not None:
                search = search_command(name)
                left = render_array_task(
                    recipe, out, array_task, search=search, observer=progress, **how
                )
                click.echo(f"{array_task} is done; {left:,} shards of {out} are left for others")
                click.echo(f"when all are there: {finalize_command(out)}")
                return
            manifest = generate(recipe, out, overwrite=overwrite, observer=progress, **how)
        except ShardsFailed as error:
            again = this_command(array_task)
            raise ShardsFailed(f"{error}; to retry these alone: {again}") from None
    rate = progress.made / progress.seconds
    click.echo(
        f"{out} is complete: {recipe.num_samples:,} images in {progress.seconds:.1f} s", nl=False
    )
    click.echo(f" ({rate:,.0f} img/s)" if progress.made else "")
    click.echo(f"look at {out}/preview.png, then:")
    click.echo(f"  fdsl-gen verify {out}")
    if not manifest.recipe.get("train_recipe"):
        return
    if find_spec("torch") is None:
        click.echo('to train on it: pip install "fdsl[train,plot]", then:')
    training = f"fdsl-train pretrain --data {out} --output runs/{recipe.name}"
    click.echo(f"  {training}  # on a GPU")
    click.echo(f"  {training} --recipe cpu-pretrain")
