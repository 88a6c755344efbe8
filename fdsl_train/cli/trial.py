"""The command ``fdsl-train trial``."""

from pathlib import Path
from typing import Literal

import click

from fdsl_gen.core.cli.help import PagedCommand
from fdsl_gen.core.cli.paths import PATH
from fdsl_gen.core.errors import UsageError
from fdsl_train.trial.arms import formula_sets


def read_labels(text: str) -> list[int | None]:
    """Amounts of labels from ``10,50,all``; all is None.

    Raises:
        UsageError: if one is neither a number from 1 on nor ``all``.
    """
    found: list[int | None] = []
    for word in text.replace(",", " ").split():
        if word != "all" and (not word.isdecimal() or int(word) < 1):
            raise UsageError(f"--labels: must be numbers from 1 on, or all, not {word!r}")
        found.append(None if word == "all" else int(word))
    if not found:
        raise UsageError("--labels: must be numbers from 1 on, or all, such as 10,all")
    return found


@click.command(cls=PagedCommand)
@click.option(
    "--data",
    required=True,
    type=PATH,
    help="folder of pictures, one folder per class",
)
@click.option(
    "--output",
    default=Path("trial"),
    show_default=True,
    type=PATH,
    help="folder of the trial; the same command goes on with what is there",
)
@click.option(
    "--minutes",
    type=click.FloatRange(0, min_open=True),
    default=20.0,
    show_default=True,
    help="how long it may take",
)
@click.option(
    "--labels",
    default="all",
    show_default=True,
    help="images of a class to learn from, such as 10,50,all",
)
@click.option(
    "--sets", help="formula sets, such as fractal-1,visualatom; default: all there is time for"
)
@click.option(
    "--jobs", type=click.IntRange(1), help="processes of one thread; default: one for each CPU"
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu"]),
    default="auto",
    show_default=True,
    help="auto: a GPU if there is one",
)
def trial(
    data: Path,
    output: Path,
    minutes: float,
    labels: str,
    sets: str | None,
    jobs: int | None,
    device: Literal["auto", "cpu"],
) -> None:
    """Find out whether formula pre-training helps on a folder of pictures, in minutes.

    Pre-trains a small model on formula sets, fine-tunes it and the same model from scratch on
    several draws of the pictures, and compares. Learning rates are chosen on pictures that are not
    reported. Writes trial.md and trial.png into --output.
    """
    from fdsl_train.data.sources.image_walk import folders_in

    amounts = read_labels(labels)
    names = tuple(sets.replace(",", " ").split()) if sets else ()
    formula_sets(names)
    folders_in(data)
    from fdsl_train.trial.trial import trial as start

    start(data, output, minutes=minutes, labels=amounts, sets=names, jobs=jobs, device=device)
