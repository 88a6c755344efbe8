"""Commands on recipes: run, list, show, preview, categories, estimate, submit, cite."""

from pathlib import Path
from typing import Any

import click

from fdsl_gen.cli.generate import generate_command
from fdsl_gen.core import recipe_files
from fdsl_gen.core.cli.help import PagedCommand, RecipeName, in_group, write_table
from fdsl_gen.core.cli.paths import FILE

_PASS_ON = {"ignore_unknown_options": True, "allow_interspersed_args": False}
_THEIRS = "The options are those of the recipe, and some more: fdsl-gen {} RECIPE -h"


def _pass_on(
    ctx: click.Context, command: click.Command, name: str, options: tuple[str, ...]
) -> None:
    code = command.main(
        list(options), prog_name=f"{ctx.command_path} {name}", standalone_mode=False
    )
    ctx.exit(code or 0)


@click.command(context_settings=_PASS_ON)
@click.argument("recipe", type=RecipeName())
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def run(ctx: click.Context, recipe: str, options: tuple[str, ...]) -> None:
    """Render a recipe: a name, or the path of a YAML file.

    Takes the same options as the command of the recipe's name; see fdsl-gen run RECIPE --help.
    """
    _pass_on(ctx, generate_command(recipe), recipe, options)


@click.command("list")
def list_recipes() -> None:
    """List the datasets: name, images, size and a line on each."""
    from fdsl_gen.cli.estimate import size
    from fdsl_gen.recipe.recipe import load_recipe

    folder = recipe_files.recipe_folder()
    rows = [(f"{'name':<20} {'images':>12} {'size':>9}  px", "")]
    for name in recipe_files.recipe_names(folder):
        recipe = load_recipe(name)
        room = size(recipe.estimated_bytes(recipe.num_samples))
        text = recipe_files.headline(recipe_files.find_recipe(name, folder))
        pixels = recipe.variant.image.width
        facts = f"{name:<20} {recipe.num_samples:>12,} {room:>9}  {pixels}"
        rows.append((facts, text))
    write_table(rows, first=50)


@click.command(context_settings=_PASS_ON, epilog=_THEIRS.format("show"))
@click.argument("recipe", type=RecipeName())
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def show(ctx: click.Context, recipe: str, options: tuple[str, ...]) -> None:
    """Show a recipe with every setting, as YAML that run accepts."""
    from fdsl_gen.cli.recipe_options import recipe_options, recipe_with
    from fdsl_gen.recipe.recipe import read_recipe_file

    file = read_recipe_file(recipe)

    def callback(**values: Any) -> None:
        import yaml

        shown = recipe_with(file, values)
        click.echo(f"# identity {shown.identity}\n# recipe   {shown.recipe_digest}")
        click.echo(yaml.safe_dump(shown.to_dict(defaults=True), sort_keys=False), nl=False)

    about = "Show the recipe with these settings."
    command = PagedCommand("show", params=[*recipe_options(file)], callback=callback, help=about)
    _pass_on(ctx, command, recipe, options)


@click.command(context_settings=_PASS_ON, epilog=_THEIRS.format("preview"))
@click.argument("recipe", type=RecipeName())
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def preview(ctx: click.Context, recipe: str, options: tuple[str, ...]) -> None:
    """Draw a labeled contact sheet without writing a dataset."""
    from fdsl_gen.cli.recipe_options import recipe_options, recipe_with, swept_png
    from fdsl_gen.recipe.recipe import read_recipe_file

    file = read_recipe_file(recipe)

    def callback(
        out: Path, categories: int | None, columns: int, sweep: tuple[str, ...], **values: Any
    ) -> None:
        from fdsl_gen.dataset.contact_sheet import draw_preview, preview_png
        from fdsl_gen.storage import local

        if "," in (values.get("seed") or ""):
            sweep = (*sweep, f"seed={values.pop('seed')}")
        if sweep:
            data = swept_png(file, sweep, values)
        else:
            loaded = recipe_with(file, values)
            data = preview_png(loaded, draw_preview(loaded, categories, columns))
        with local.at_place_of_user(out):
            local.write(out, data)
        click.echo(str(out))

    number = click.IntRange(min=1, max=1000)
    own = [
        click.Option(
            ["--out"], type=FILE, default=Path("preview.png"), show_default=True, help="PNG file"
        ),
        click.Option(["--categories"], type=number, help="how many categories to show"),
        click.Option(
            ["--sweep"],
            multiple=True,
            metavar="NAME=VALUE,...",
            help="a column for each value of a setting, such as delta=.01,.1,.4; a second one gives"
            " rows, and --seed 1,2,3 sweeps seeds",
        ),
        click.Option(["--columns"], type=number, default=6, show_default=True, help="in a row"),
    ]
    params = [*in_group("picture", own), *recipe_options(file)]
    command = PagedCommand("preview", params=[*params], callback=callback, help=preview.help)
    _pass_on(ctx, command, recipe, options)


@click.command(context_settings=_PASS_ON, epilog=_THEIRS.format("categories"))
@click.argument("recipe", type=RecipeName())
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def categories(ctx: click.Context, recipe: str, options: tuple[str, ...]) -> None:
    """Print the parameters of a recipe's categories, write them as CSV, or show a picture."""
    from fdsl_gen.cli.categories import categories_command

    _pass_on(ctx, categories_command(recipe), recipe, options)


@click.command(context_settings=_PASS_ON)
@click.argument("recipe", type=RecipeName())
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def estimate(ctx: click.Context, recipe: str, options: tuple[str, ...]) -> None:
    """Draw some images and say what a dataset takes: bytes, core hours, time, memory, cost."""
    from fdsl_gen.cli.estimate import estimate_command

    _pass_on(ctx, estimate_command(recipe), recipe, options)


@click.command(context_settings=_PASS_ON)
@click.argument("recipe", type=RecipeName())
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def submit(ctx: click.Context, recipe: str, options: tuple[str, ...]) -> None:
    """Render a recipe as jobs of SLURM that wait for each other."""
    from fdsl_gen.cli.submit import submit_command

    _pass_on(ctx, submit_command(recipe), recipe, options)


@click.command()
@click.argument("recipe", type=RecipeName())
def cite(recipe: str) -> None:
    """Print the BibTeX entry of a dataset's paper."""
    from fdsl_gen.recipe.recipe import load_recipe

    click.echo(load_recipe(recipe).variant.CITATION)
