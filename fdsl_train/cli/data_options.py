"""The flags that say where a dataset is."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fdsl_gen.core.cli.flags import add_options
from fdsl_gen.core.cli.paths import PATH
from fdsl_gen.storage.flags import PLACE, storage_options, take_storage

if TYPE_CHECKING:
    from fdsl_train.data.locate.dataset import DatasetLocation

F = TypeVar("F", bound=Callable[..., Any])


def location_options(about: str) -> Callable[[F], F]:
    """Decorate a command with ``--data``, described by ``about``, and how to get at it."""
    options: list[click.Parameter] = [
        click.Option(["--data"], required=True, type=PLACE, help=about),
        click.Option(
            ["--cache-dir"],
            type=PATH,
            help="folder of this machine for shards from object storage",
        ),
        click.Option(
            ["--cache-gb"],
            type=click.FloatRange(0, min_open=True),
            default=64.0,
            show_default=True,
            help="how much of it they may take",
        ),
        *storage_options(),
    ]

    def decorate(command: F) -> F:
        return add_options(command, options)

    return decorate


def location_from(values: dict[str, Any]) -> "DatasetLocation":
    """The place, taken out of the values of a command."""
    from fdsl_train.data.locate.dataset import DatasetLocation

    storage = take_storage(values)
    names = ("data", "cache_dir", "cache_gb")
    return DatasetLocation(storage=storage, **{name: values.pop(name) for name in names})
