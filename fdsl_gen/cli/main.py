"""The command ``fdsl-gen``: parses, calls one function, prints."""

import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

import click

from fdsl_gen import __version__
from fdsl_gen.cli import AFTER_A_SIGNAL, NAME, copy
from fdsl_gen.cli.executor_options import (
    executor_options,
    finalize_command,
    resolve_execution,
    search_command,
    this_command,
)
from fdsl_gen.core import recipe_files, settings, signals
from fdsl_gen.core.cli.paths import FILE, PATH, is_bad_place
from fdsl_gen.core.errors import Exit, FdslError, Mismatch, ShardsFailed, Stopped, UsageError
from fdsl_gen.storage.flags import PLACE, storage_options, take_storage, with_storage

_PASS_ON = {"ignore_unknown_options": True, "allow_interspersed_args": False}


class _Commands(click.Group):
    """The commands written below, and one for every published recipe."""

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        command = super().get_command(ctx, name)
        if command is not None:
            return command
        folder = recipe_files.recipe_folder()
        if name.replace("_", "-") in recipe_files.recipe_names(folder):
            return _generate_command(name)
        known = [*self.commands, *recipe_files.recipe_names(folder)]
        raise UsageError(f"no command or recipe named '{name}'{settings.nearest(name, known)}")

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EOFError as error:  # which click takes for the user's Ctrl-D
            raise RuntimeError("a file ended too early") from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        folder = recipe_files.recipe_folder()
        recipes = [
            (name, recipe_files.headline(recipe_files.find_recipe(name, folder)))
            for name in recipe_files.recipe_names(folder)
        ]
        with formatter.section("Datasets (fdsl-gen NAME --out DIR)"):
            formatter.write_dl(recipes)
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, c.get_short_help_str(80)) for name, c in self.commands.items()]
            )


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fdsl-gen")
def cli() -> None:
    """Render Formula-Driven Supervised Learning datasets to WebDataset shards."""


def _generate_command(name: str) -> click.Command:
    """``fdsl-gen NAME --out DIR`` with an option for every setting of the recipe."""
    from fdsl_gen.cli.recipe_options import recipe_options

    params: list[click.Parameter] = [
        click.Option(["--out"], type=PLACE, help="folder of the dataset, or s3://BUCKET/PREFIX"),
        click.Option(["--tmp-dir"], type=PATH, help="where shards for s3:// are built"),
        click.Option(
            ["--workers"], type=click.IntRange(min=1), help="processes  [default: CPUs granted]"
        ),
        click.Option(["--overwrite"], is_flag=True, help="delete the dataset that stands there"),
        click.Option(["--dry-run"], is_flag=True, help="say what would be made, and stop"),
        *executor_options(),
        *storage_options(),
        *recipe_options(name),
    ]

    def callback(**values: Any) -> None:
        _generate(name, **values)

    about = recipe_files.headline(recipe_files.find_recipe(name, recipe_files.recipe_folder()))
    return click.Command(name, params=params, callback=callback, help=f"Render {about}.")


def _generate(
    name: str,
    out: Path | str | None,
    tmp_dir: Path | None,
    workers: int | None,
    overwrite: bool,
    dry_run: bool,
    **values: Any,
) -> None:
    from fdsl_gen.build.array_task import render_array_task
    from fdsl_gen.build.generate import estimated_bytes, generate
    from fdsl_gen.cli.recipe_options import load_with
    from fdsl_gen.core.progress import Progress
    from fdsl_gen.recipe.order import shards_of

    executor, array_task = resolve_execution(values, workers)
    how: dict[str, Any] = {"workers": workers, "executor": executor, "tmp_dir": tmp_dir}
    how["storage"] = take_storage(values)
    recipe = load_with(name, values)
    if array_task is not None:
        total = len(shards_of(recipe))
        mine = len(array_task.of(range(total)))
        click.echo(f"{array_task}: {mine:,} of {total:,} shards", err=not dry_run)
        if overwrite:
            raise UsageError(
                "--overwrite in a task of a job array would delete what the other tasks wrote;"
                " give another --out, or delete the dataset before the array begins"
            )
    size = estimated_bytes(recipe, recipe.num_samples)
    plan = (
        f"{recipe.name}: {recipe.num_samples:,} images, {recipe.num_categories:,} categories,"
        f" {len(shards_of(recipe)):,} shards, about {size / 1e6:,.0f} MB"
    )
    if dry_run:
        click.echo(plan)
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
    if manifest.recipe.get("train_recipe"):
        click.echo(f"  fdsl-train pretrain --data {out} --output runs/{recipe.name}")


@cli.command(context_settings=_PASS_ON)
@click.argument("recipe")
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def run(ctx: click.Context, recipe: str, options: tuple[str, ...]) -> None:
    """Render a recipe: a name, or the path of a YAML file.

    Takes the same options as the command of the recipe's name; see fdsl-gen run RECIPE --help.
    """
    _pass_on(ctx, _generate_command(recipe), recipe, options)


def _pass_on(
    ctx: click.Context, command: click.Command, name: str, options: tuple[str, ...]
) -> None:
    code = command.main(
        list(options), prog_name=f"{ctx.command_path} {name}", standalone_mode=False
    )
    ctx.exit(code or 0)


@cli.command("list")
def list_recipes() -> None:
    """List the datasets: name, images, size and a line on each."""
    from fdsl_gen.build.generate import estimated_bytes
    from fdsl_gen.recipe.recipe import load_recipe

    folder = recipe_files.recipe_folder()
    click.echo(f"{'name':<20} {'images':>12} {'pixels':>7} {'about':>11}")
    for name in recipe_files.recipe_names(folder):
        recipe = load_recipe(name)
        size = estimated_bytes(recipe, recipe.num_samples) / 1e9
        text = recipe_files.headline(recipe_files.find_recipe(name, folder))
        pixels = recipe.variant.image.width
        click.echo(f"{name:<20} {recipe.num_samples:>12,} {pixels:>7} {size:>8,.2f} GB  {text}")


@cli.command(context_settings=_PASS_ON)
@click.argument("recipe")
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def show(ctx: click.Context, recipe: str, options: tuple[str, ...]) -> None:
    """Show a recipe with every setting, as YAML that run accepts."""
    from fdsl_gen.cli.recipe_options import load_with, recipe_options

    def callback(**values: Any) -> None:
        import yaml

        shown = load_with(recipe, values)
        click.echo(f"# identity {shown.identity}\n# recipe   {shown.recipe_digest}")
        click.echo(yaml.safe_dump(shown.to_dict(defaults=True), sort_keys=False), nl=False)

    about = "Show the recipe with these settings."
    command = click.Command("show", params=[*recipe_options(recipe)], callback=callback, help=about)
    _pass_on(ctx, command, recipe, options)


@cli.command(context_settings=_PASS_ON)
@click.argument("recipe")
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def preview(ctx: click.Context, recipe: str, options: tuple[str, ...]) -> None:
    """Draw a labeled contact sheet without writing a dataset."""
    from fdsl_gen.cli.recipe_options import load_with, recipe_options

    def callback(out: Path, categories: int | None, columns: int, **values: Any) -> None:
        from fdsl_gen.dataset.contact_sheet import draw_preview, preview_png
        from fdsl_gen.storage import local

        loaded = load_with(recipe, values)
        data = preview_png(loaded, draw_preview(loaded, categories, columns))
        try:
            local.write(out, data)
        except OSError as error:
            raise UsageError(f"cannot write {out}: {error.strerror}") from None
        click.echo(str(out))

    number = click.IntRange(min=1, max=1000)
    params: list[click.Parameter] = [
        click.Option(
            ["--out"], type=FILE, default=Path("preview.png"), show_default=True, help="PNG file"
        ),
        click.Option(["--categories"], type=number, help="how many categories to show"),
        click.Option(["--columns"], type=number, default=6, show_default=True, help="in a row"),
        *recipe_options(recipe),
    ]
    command = click.Command("preview", params=params, callback=callback, help=preview.help)
    _pass_on(ctx, command, recipe, options)


@cli.command(context_settings=_PASS_ON)
@click.argument("recipe")
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def categories(ctx: click.Context, recipe: str, options: tuple[str, ...]) -> None:
    """Search the categories of a recipe; print them as CSV, or show them in a picture."""
    from fdsl_gen.cli.categories import categories_command

    _pass_on(ctx, categories_command(recipe), recipe, options)


@with_storage
@cli.command()
@click.argument("folder", type=PLACE)
def status(folder: Path | str, **values: Any) -> None:
    """Tell how much of a dataset is done."""
    from fdsl_gen.dataset.remote import open_place
    from fdsl_gen.dataset.verify import status as status_of

    opened = open_place(folder, take_storage(values))
    done, total, missing = status_of(opened)
    click.echo(f"{done} of {total} shards are done")
    for name in missing[:10]:
        click.echo(f"missing: {name}")
    if len(missing) > 10:
        click.echo(f"and {len(missing) - 10} more")
    if not missing:
        complete = opened.is_complete()
        click.echo("complete" if complete else f"next: fdsl-gen finalize {folder}")


@with_storage
@cli.command("finalize")
@click.argument("folder", type=PLACE)
@click.option(
    "--repair",
    is_flag=True,
    help="first restore a damaged or lost recipe.json from the manifest",
)
@click.option("--overwrite", is_flag=True, help="replace a manifest that says something else")
def finalize_folder(folder: Path | str, repair: bool, overwrite: bool, **values: Any) -> None:
    """Write card, preview and manifest of a folder whose shards are all there."""
    from fdsl_gen.build.finalize import finalize
    from fdsl_gen.core.progress import Progress
    from fdsl_gen.dataset.remote import open_place
    from fdsl_gen.dataset.repair import restore_recipe
    from fdsl_gen.storage.objects import ObjectStore

    storage = take_storage(values)
    if repair:
        restore_recipe(folder if isinstance(folder, Path) else ObjectStore.at(folder, storage))
    with Progress() as progress:
        manifest = finalize(open_place(folder, storage), progress, overwrite=overwrite)
    click.echo(f"{folder} is complete, content digest {manifest.content_digest}")


@with_storage
@cli.command("verify")
@click.argument("folder", type=PLACE)
@click.option(
    "--render", "count", type=click.IntRange(min=1), help="draw this many samples again and compare"
)
def verify_folder(folder: Path | str, count: int | None, **values: Any) -> None:
    """Check every file of a dataset against its manifest."""
    from fdsl_gen.core.progress import Progress
    from fdsl_gen.dataset import verify
    from fdsl_gen.storage.manifest import read_manifest
    from fdsl_gen.storage.objects import ObjectStore

    storage = take_storage(values)
    place = folder if isinstance(folder, Path) else ObjectStore.at(folder, storage)
    manifest = read_manifest(place)
    samples = sum(split.num_samples for split in manifest.splits.values())
    with Progress() as progress:
        progress.begin(images=samples, done=0)
        problems = verify.check_files(place, lambda entry: progress.images(entry.samples))
    if count is not None and not problems:
        with Progress() as progress:
            progress.begin(images=min(count, samples), done=0)
            problems = verify.check_pixels(place, count, progress.images)
    if problems:
        raise Mismatch("; ".join(problems))
    shards = sum(len(split.shards) for split in manifest.splits.values())
    again = "" if count is None else f", {min(count, samples):,} drawn again and equal"
    click.echo(f"{folder} is intact: {shards} shards, {samples:,} samples{again}")


@cli.command()
@click.argument("folder", type=PATH)
@click.option(
    "--imagefolder",
    "tree",
    type=PATH,
    help="new folder of OUT/split/category/*.png; of images and labels.csv for sets of several"
    " labels; of images and masks for segmentation",
)
@click.option("--flat", type=PATH, help="new folder of OUT/*.png, images without labels")
def export(folder: Path, tree: Path | None, flat: Path | None) -> None:
    """Write a dataset as a tree of PNG files."""
    from fdsl_gen.core.progress import Progress
    from fdsl_gen.dataset.export import export_tree
    from fdsl_gen.storage.manifest import read_manifest

    out = tree or flat
    if out is None or (tree and flat):
        raise UsageError("give --imagefolder or --flat, and the folder to write")
    total = sum(split.num_samples for split in read_manifest(folder).splits.values())
    with Progress() as progress:
        progress.begin(images=total, done=0)
        try:
            count = export_tree(folder, out, progress.images, flat=flat is not None)
        except OSError as error:
            raise UsageError(f"cannot write into {out}: {error.strerror}") from None
    click.echo(f"{count:,} images in {out}")


cli.add_command(copy.upload)
cli.add_command(copy.download)


@cli.command()
@click.argument("recipe")
def cite(recipe: str) -> None:
    """Print the BibTeX entry of a dataset's paper."""
    from fdsl_gen.recipe.recipe import load_recipe

    click.echo(load_recipe(recipe).variant.CITATION)


def main() -> NoReturn:
    """Run the command: every expected failure is one sentence on standard error, and its code."""
    with signals.handled(NAME, AFTER_A_SIGNAL):
        try:
            code = cli.main(standalone_mode=False)
            signals.over()
        except BaseException as error:
            signals.over()
            code = _tell(error)
    sys.exit(int(code or 0))


def _tell(error: BaseException) -> int:
    """Say what ended the command; its exit code."""
    if isinstance(error, (FdslError, Stopped)):
        click.echo(f"{NAME}: {error}", err=True)
        return error.exit_code
    if isinstance(error, click.ClickException):
        click.echo(f"{NAME}: {error.format_message()}", err=True)
        return error.exit_code
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        click.echo(f"{NAME}: interrupted; the same command goes on from here", err=True)
        return Exit.INTERRUPTED
    if isinstance(error, OSError):  # a full disk, a folder that was deleted, a lost mount
        where = f" {error.filename}" if error.filename else ""
        if is_bad_place(error):
            click.echo(f"{NAME}: cannot use{where}: {error.strerror}", err=True)
            return Exit.USAGE
        click.echo(
            f"{NAME}: cannot use{where}: {error.strerror or error}; what is finished stays, the"
            " same command goes on from there",
            err=True,
        )
        return Exit.SHARDS_FAILED
    if isinstance(error, SystemExit):  # click, where nobody reads any more: fdsl-gen list | head
        return Exit.OK
    if not isinstance(error, Exception):
        raise error
    traceback.print_exception(error)
    click.echo(f"{NAME}: unexpected error, a bug in fdsl", err=True)
    return Exit.UNEXPECTED
