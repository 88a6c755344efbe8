"""What the commands of experiments that write a page have alike."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from fdsl_gen.core.cli.flags import add_options
from fdsl_gen.core.errors import Exit, FdslError

F = TypeVar("F", bound=Callable[..., Any])


def page_options(*, plan: Path, work: Path, docs: Path) -> Callable[[F], F]:
    """Decorate a command with ``--plan``, ``--work``, ``--docs`` and ``--jobs``.

    Args:
        plan, work, docs: their defaults.
    """
    shown: dict[str, Any] = {"show_default": True, "type": click.Path(path_type=Path)}
    about = "folder of datasets and runs; what is finished there is kept"
    options: list[click.Parameter] = [
        click.Option(["--plan"], default=plan, help="YAML file", **shown),
        click.Option(["--work"], default=work, help=about, **shown),
        click.Option(["--docs"], default=docs, help="folder of the page", **shown),
        click.Option(
            ["--jobs"], default=2, show_default=True, help="processes, of one thread each"
        ),
    ]

    def decorate(command: F) -> F:
        return add_options(command, options)

    return decorate


@contextlib.contextmanager
def told() -> Iterator[None]:
    """End the program with a sentence and the exit code of an error that is meant for the user."""
    try:
        yield
    except FdslError as error:
        click.echo(str(error), err=True)
        sys.exit(int(error.exit_code))
    except KeyboardInterrupt:
        click.echo("interrupted; the same command goes on from there", err=True)
        sys.exit(int(Exit.INTERRUPTED))
