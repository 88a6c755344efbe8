"""The command ``fdsl-gen``: parses, calls one function, prints."""

import sys
import traceback
from typing import Any, NoReturn

import click

from fdsl_gen import __version__
from fdsl_gen.cli import AFTER_A_SIGNAL, NAME, copy, datasets, recipes
from fdsl_gen.cli.explore import explore
from fdsl_gen.cli.generate import generate_command
from fdsl_gen.cli.report import report
from fdsl_gen.core import recipe_files, settings, signals
from fdsl_gen.core.cli.help import WIDEST, SummedUp, write_names
from fdsl_gen.core.cli.paths import is_bad_place
from fdsl_gen.core.errors import Exit, FdslError, Stopped, UsageError, visible
from fdsl_gen.core.extras import without_library


class _Commands(SummedUp):
    """The commands written below, and one for every published recipe."""

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        command = super().get_command(ctx, name)
        if command is not None:
            return command
        folder = recipe_files.recipe_folder()
        if name.replace("_", "-") in recipe_files.recipe_names(folder):
            return generate_command(name)
        known = [*self.commands, *recipe_files.recipe_names(folder)]
        raise UsageError(f"no command or recipe named '{name}'{settings.nearest(name, known)}")

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Commands and datasets: what a shell completes."""
        return [
            *super().list_commands(ctx),
            *recipe_files.recipe_names(recipe_files.recipe_folder()),
        ]

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EOFError as error:  # which click takes for the user's Ctrl-D
            raise RuntimeError("a file ended too early") from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Datasets (fdsl-gen NAME --out DIR; what they are: fdsl-gen list)"):
            write_names(formatter, recipe_files.recipe_names(recipe_files.recipe_folder()))
        super().format_commands(ctx, formatter)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDEST},
)
@click.version_option(__version__, prog_name="fdsl-gen")
def cli() -> None:
    """Render Formula-Driven Supervised Learning datasets to WebDataset shards."""


for _command in (
    recipes.run,
    recipes.list_recipes,
    recipes.show,
    recipes.preview,
    explore,
    recipes.categories,
    recipes.estimate,
    recipes.submit,
    datasets.status,
    datasets.finalize_folder,
    datasets.verify_folder,
    datasets.export,
    report,
    copy.upload,
    copy.download,
    recipes.cite,
):
    cli.add_command(_command)


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
        where = visible(f" {error.filename}") if error.filename else ""
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
    if (refusal := without_library(error)) is not None:
        return _tell(refusal)
    traceback.print_exception(error)
    click.echo(f"{NAME}: unexpected error, a bug in fdsl", err=True)
    return Exit.UNEXPECTED
