"""The command ``report``."""

from pathlib import Path
from typing import Any

import click

from fdsl_gen.core.cli.paths import FILE
from fdsl_gen.storage.flags import PLACE, take_storage, with_storage


@with_storage
@click.command()
@click.argument("folder", type=PLACE)
@click.option("--out", type=FILE, help="page to write  [default: report.html]")
@click.option("--json", "figures", type=FILE, help="file to write the figures into")
@click.option("--against", type=PLACE, help="another dataset to compare it with")
@click.option(
    "--samples",
    "count",
    type=click.IntRange(min=1, max=100_000),
    default=2000,
    show_default=True,
    help="open this many samples; counts and bytes are always those of all",
)
def report(
    folder: Path | str,
    out: Path | None,
    figures: Path | None,
    against: Path | str | None,
    count: int,
    **values: Any,
) -> None:
    """Describe a dataset: samples, coverage, grays, spectrum, balance, parameters, on one page."""
    import json

    from fdsl_gen.core.progress import Progress
    from fdsl_gen.dataset.reader import open_dataset
    from fdsl_gen.dataset.report import collect, page

    storage = take_storage(values)
    if out is None and figures is None:
        out = Path("report.html")
    reports = []
    for place in (folder, against):
        if place is None:
            continue
        dataset = open_dataset(place, storage=storage)
        with Progress() as progress:
            progress.begin(images=len(dataset), done=0)
            reports.append(collect.report_of(dataset, count, progress.images))
    if out is not None:
        _write(out, page.as_page(*reports))
    if figures is not None:
        _write(figures, json.dumps(page.as_json(*reports), indent=1) + "\n")


def _write(path: Path, text: str) -> None:
    """Write a file, whole or not at all, and name it."""
    from fdsl_gen.storage import local

    with local.at_place_of_user(path):
        local.write(path, text.encode())
    click.echo(str(path))
