"""Object storage on the command line: places, and how to reach them."""

from pathlib import Path
from typing import Any

import click

from fdsl_gen.core.path_names import check_path
from fdsl_gen.storage.options import StorageOptions
from fdsl_gen.storage.url import is_remote


class DatasetLocation(click.ParamType):  # type: ignore[type-arg]  # generic in new versions of click only
    """A folder, or ``s3://bucket/prefix`` (gs, az) as text."""

    name = "DIR|URL"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path | str:
        return value if isinstance(value, str) and is_remote(value) else check_path(value)


PLACE = DatasetLocation()


def storage_options() -> list[click.Parameter]:
    """What the usual environment variables cannot say for all clouds; the rest is there."""
    return [
        click.Option(
            ["--endpoint-url"], metavar="URL", help="storage service other than the cloud's own"
        ),
        click.Option(
            ["--retries"],
            type=click.IntRange(min=0, max=100),
            default=10,
            show_default=True,
            help="further attempts of a request",
        ),
        click.Option(
            ["--timeout"],
            type=click.FloatRange(min=0.1, max=3600),
            default=60,
            show_default=True,
            help="seconds to wait for an answer of the storage",
        ),
    ]


def with_storage(command: click.Command) -> click.Command:
    """Add the storage options to a command."""
    command.params += storage_options()
    return command


def take_storage(values: dict[str, Any]) -> StorageOptions:
    """The storage options, taken out of ``values``."""
    return StorageOptions(
        **{name: values.pop(name) for name in StorageOptions.__dataclass_fields__}
    )
