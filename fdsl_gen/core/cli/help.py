"""Help on pages that fit a screen: options in named groups, the rarer ones with ``--help-all``."""

import shutil
from collections.abc import Container, Iterable
from typing import Any, TypeVar

import click

from fdsl_gen.core import recipe_files

WIDEST = 120  # columns of a page, where the terminal has them

_ALL = "fdsl.help-all"
_OTHER = "other"
P = TypeVar("P", bound=click.Parameter)


def in_group(name: str, options: Iterable[P], *, common: Container[str] | None = None) -> list[P]:
    """Options that help shows under one heading.

    Args:
        name: the heading.
        options: they are changed; those that have a group keep it.
        common: names of the parameters on the short page; None: all of them.
    """
    found = list(options)
    for option in found:
        if not hasattr(option, "help_group"):
            option.help_group = name  # type: ignore[attr-defined]
            option.help_rare = (  # type: ignore[attr-defined]
                common is not None and option.name not in common
            )
    return found


class PagedCommand(click.Command):
    """A command whose help has groups, and ``--help-all`` where some options are rare."""

    def get_help_option_names(self, ctx: click.Context) -> list[str]:
        """``-h`` and ``--help``, also where another command did not call it.

        A command keeps its option for help as it was first asked for it.
        """
        return ["-h", "--help"]

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The parameters, with ``--help-all`` where it shows more than ``--help``."""
        params = super().get_params(ctx)
        if not any(getattr(param, "help_rare", False) for param in params):
            return params
        everything = click.Option(
            ["--help-all"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_show_all,
            help="Show all options and exit.",
        )
        return [*params, everything]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for every group, in the order in which groups first appear."""
        groups: dict[str, list[tuple[str, str]]] = {}
        hidden = 0
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is None or isinstance(param, click.Argument):  # which the first line names
                continue
            if getattr(param, "help_rare", False) and not ctx.meta.get(_ALL):
                hidden += 1
                continue
            groups.setdefault(getattr(param, "help_group", _OTHER), []).append(record)
        rest = groups.pop(_OTHER, [])
        for name, records in [*groups.items(), (_OTHER, rest)]:
            with formatter.section(name.capitalize() if groups else "Options"):
                formatter.write_dl(records)
        if hidden:
            formatter.write_paragraph()
            formatter.write_text(f"{hidden} more options: --help-all")


def _show_all(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        ctx.meta[_ALL] = True
        click.echo(ctx.get_help(), color=ctx.color)
        ctx.exit()


class SummedUp(click.Group):
    """A group whose help says of every command its whole first sentence."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section of all commands of this group."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [
                    (name, one.get_short_help_str(formatter.width * 3))
                    for name, one in self.commands.items()
                ]
            )


def write_names(formatter: click.HelpFormatter, names: Iterable[str]) -> None:
    """Names in columns of equal width, by row."""
    known = list(names)
    wide = max(map(len, known)) + 2
    each = max(1, (formatter.width - formatter.current_indent) // wide)
    for start in range(0, len(known), each):
        row = "".join(name.ljust(wide) for name in known[start : start + each])
        formatter.write(" " * formatter.current_indent + row.rstrip() + "\n")


def write_table(rows: Iterable[tuple[str, str]], first: int = 30) -> None:
    """Names and descriptions, aligned and wrapped at the width of the terminal.

    Args:
        rows: name and description.
        first: columns of the widest name.
    """
    formatter = click.HelpFormatter(width=min(WIDEST, shutil.get_terminal_size().columns))
    formatter.write_dl(list(rows), col_max=first)
    click.echo(formatter.getvalue(), nl=False)


class RecipeName(click.ParamType):  # type: ignore[type-arg]  # generic in new versions of click only
    """Name or path of a recipe; a shell completes the names.

    Args:
        below: folder in that of all recipes; empty: the recipes of datasets.
    """

    name = "text"

    def __init__(self, below: str = "") -> None:
        self._below = below

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[Any]:
        """Names that begin so, in either spelling; paths where one is begun."""
        from click.shell_completion import CompletionItem

        if "/" in incomplete or incomplete.startswith("."):
            return [CompletionItem(incomplete, type="file")]
        names = recipe_files.recipe_names(recipe_files.recipe_folder() / self._below)
        wanted = incomplete.replace("_", "-")
        return [CompletionItem(name) for name in names if _hyphens(name).startswith(wanted)]


def _hyphens(name: str) -> str:
    return name.replace("_", "-")
