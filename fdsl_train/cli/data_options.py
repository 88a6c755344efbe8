"""The flags that say where a dataset is."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fdsl_gen.core.cli.flags import add_options
from fdsl_gen.core.cli.help import in_group
from fdsl_gen.core.cli.paths import PATH
from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.recipe_files import is_recipe
from fdsl_gen.storage.flags import PLACE, storage_options, take_storage
from fdsl_train.data.locate.tar_names import is_tar_text

if TYPE_CHECKING:
    from fdsl_train.data.open import DataSpec

F = TypeVar("F", bound=Callable[..., Any])


class _Data(click.ParamType):  # type: ignore[type-arg]  # generic in new versions of click only
    """What ``--data`` takes: a path, or a text that names a recipe, several files or a machine."""

    name = PLACE.name

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path | str:
        if isinstance(value, str) and (is_tar_text(value) or is_recipe(value)):
            return value
        return PLACE.convert(value, param, ctx)


DATA = _Data()


def location_options(about: str, *, several: bool = False) -> Callable[[F], F]:
    """Decorate a command with ``--data``, described by ``about``, and how to get at it.

    Args:
        about: help of ``--data``.
        several: whether it may be given more than once.
    """
    options: list[click.Parameter] = [
        click.Option(["--data"], required=True, multiple=several, type=DATA, help=about),
        click.Option(
            ["--label-key"], help="of WebDataset shards: key of .json that is the label, not .cls"
        ),
        click.Option(
            ["--skip-bad"],
            type=click.IntRange(0),
            default=0,
            help="samples that may be left out of WebDataset shards because something is wrong",
        ),
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
        *in_group("storage", storage_options(), common=()),
    ]

    def decorate(command: F) -> F:
        return add_options(command, in_group("data", options, common={"data"}))

    return decorate


def val_data_option(command: F) -> F:
    """Decorate a command with the flag that names a validation part of its own."""
    option = click.option("--val-data", type=DATA, help="shards to validate on, if --data has none")
    return option(command)


def data_spec_from(values: dict[str, Any]) -> "DataSpec":
    """Where images are, taken out of the values of a command.

    Raises:
        UsageError: if there is no such folder; told before PyTorch is imported.
    """
    from fdsl_train.data.locate.dataset import DatasetLocation
    from fdsl_train.data.open import DataSpec
    from fdsl_train.data.sources.image_walk import folders_in
    from fdsl_train.data.tars import TarOptions

    storage = take_storage(values)
    names = ("cache_dir", "cache_gb")
    how: dict[str, Any] = {name: values.pop(name) for name in names} | {"storage": storage}
    val_data = values.pop("val_data", None)
    trees = "data_dir" in values  # commands that take more than shards
    where = DataSpec(
        place=DatasetLocation(data=values.pop("data"), **how),
        data_dir=values.pop("data_dir", None),
        download=values.pop("download", False),
        tars=TarOptions(label_key=values.pop("label_key"), skip_bad=values.pop("skip_bad")),
        val_data=None if val_data is None else DatasetLocation(data=val_data, **how),
    )
    if trees and where.named is None and where.tree is not None:
        folders_in(where.tree)
    return where


def data_specs_from(values: dict[str, Any]) -> list["DataSpec"]:
    """The same of a command that takes ``--data`` several times."""
    given = values.pop("data")
    if len(given) > 1 and values.get("val_data") is not None:
        raise UsageError(
            "--val-data goes with one --data; of several, each is validated on its own part"
        )
    found = [data_spec_from(values | {"data": one}) for one in given[:-1]]
    values["data"] = given[-1]
    found.append(data_spec_from(values))
    return _for_tars(found) if len(found) > 1 else found


def _for_tars(sets: list["DataSpec"]) -> list["DataSpec"]:
    """Several sets, the options of tars with those alone that are some, if any is."""
    from fdsl_train.data.tars import TarOptions, shards_at

    if sets[0].tars == TarOptions():
        return sets
    tars = [shards_at(one.place) is not None for one in sets]
    if not any(tars):
        return sets
    return [
        one if own else dataclasses.replace(one, tars=TarOptions())
        for one, own in zip(sets, tars, strict=True)
    ]


def check_pretrain_data(where: "DataSpec") -> None:
    """Whether a folder holds shards, told before PyTorch is imported.

    Raises:
        UsageError: if it holds neither a dataset of ours nor tars of others.
    """
    from fdsl_train.data.tars import shards_at

    if isinstance(where.place.data, Path) and shards_at(where.place) is None:
        where.place.manifest()
