"""trial.md and trial.png: what was compared, what came out, and how to go on."""

import shlex
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fdsl_gen.storage import local
from fdsl_train.analysis.figures.gains import Bar, draw_gains
from fdsl_train.trial.budget import FINETUNE, Effort
from fdsl_train.trial.pieces import Command
from fdsl_train.trial.results import Row, verdict

REPORT, PICTURE = "trial.md", "trial.png"


@dataclass(frozen=True)
class Finding:
    """A finished trial.

    Attributes:
        data: the folder of pictures.
        output: folder of the trial.
        effort: its size.
        rates: learning rate of fine-tuning, by arm.
        tables: rows for every amount of labels, which has a name.
        guess: percent that always the most frequent class reaches.
        facts: what else the report says: images, machine, time.
        commands: that were run: pre-training, and fine-tuning on the first draw.
    """

    data: Path
    output: Path
    effort: Effort
    rates: dict[str, float]
    tables: list[tuple[str, list[Row]]]
    guess: float
    facts: list[str]
    commands: Sequence[Command]


def conclusion(tables: Sequence[tuple[str, Sequence[Row]]]) -> str:
    """The answer in one sentence, by the rule in the report."""
    helped = [
        (row.gain, row.arm.name, name)
        for name, rows in tables
        for row in rows
        if row.gains and verdict(row, _scratch(rows)) == "helps"
    ]
    if helped:
        gain, arm, name = max(helped)
        return (
            f"Formula pre-training helps here: {arm} gains {gain:.1f} points with {name}, beyond"
            " the spread of the draws."
        )
    all_harm = all(
        verdict(row, _scratch(rows)) == "harms" for _, rows in tables for row in rows if row.gains
    )
    if all_harm:
        return "Formula pre-training harms here: every set ends below scratch on every draw."
    return (
        "No clear help from formula pre-training here, at this size: no set gains on every draw by"
        " more than scratch varies."
    )


def table_lines(rows: Sequence[Row]) -> list[str]:
    """A table in Markdown, which also reads well in a terminal."""
    scratch = _scratch(rows)
    head = ["start", "mean", "least .. greatest", "gain", "gains by draw", "verdict"]
    body = [
        [
            row.arm.name,
            f"{row.mean:.1f} %",
            f"{min(row.top1):.1f} .. {max(row.top1):.1f}",
            f"{row.gain:+.1f}" if row.gains else "",
            " ".join(f"{gain:+.1f}" for gain in row.gains),
            verdict(row, scratch) if row.gains else "",
        ]
        for row in rows
    ]
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]
    lines = [
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |"
        for line in [head, *body]
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return [lines[0], rule, *lines[1:]]


def write_report(found: Finding) -> None:
    """Write both files into the folder of the trial."""
    title = f"accuracy on {found.data.name or found.data}, {found.effort.draws} draws"
    panels = [(name, [_bar(row) for row in rows]) for name, rows in found.tables]
    measure = "top-1 on images not trained on, %"
    draw_gains(found.output / PICTURE, panels, title, measure, found.guess)
    local.write(found.output / REPORT, _markdown(found).encode())


def _bar(row: Row) -> Bar:
    return Bar(row.arm.name, row.top1, "formula" if row.gains else "scratch")


def _scratch(rows: Sequence[Row]) -> Row:
    return next(row for row in rows if not row.gains)


def _markdown(found: Finding) -> str:
    parts = [f"# Does formula pre-training help on {found.data}?", conclusion(found.tables)]
    parts.append(f"![accuracy by start]({PICTURE})")
    for name, rows in found.tables:
        parts += [f"## With {name}", "\n".join(table_lines(rows))]
    rows = found.tables[0][1]
    rates = ", ".join(f"{arm} {rate:g}" for arm, rate in found.rates.items())
    parts += [
        "## How it was measured",
        textwrap.fill(_method(found), 100),
        "\n".join(_pretraining_lines(rows)),
        f"Learning rates: {rates}.",
        textwrap.fill(" ".join(found.facts), 100),
        "## A model from this trial",
        "In minutes on a CPU:",
        f"```sh\n{small_command(found)}\n```",
        "## At full size",
        textwrap.fill(
            "The trial is small: 200 images a set, a model of half a million weights, minutes."
            " The recipes of the papers train ViT-Tiny of 5.5 million on a GPU for hours:",
            100,
        ),
        "```sh\n" + "\n".join(next_commands(found)) + "\n```",
        "## What was run",
        "\n".join(f"    {shlex.join(command)}" for command in found.commands) + "\n",
    ]
    return "\n\n".join(parts)


def _method(found: Finding) -> str:
    effort = found.effort
    return (
        f"Every formula set (of {effort.sets}) was pre-trained on for {effort.pretrain_steps:,}"
        " steps; then"
        f" the same fine-tuning of {effort.finetune_steps:,} steps began from it and from freshly"
        f" drawn weights (scratch), on {effort.draws} draws of the images to learn from. Accuracy"
        " is top-1 on the other images of a draw, after the last step. The learning rate of each"
        " start was chosen among three on a fifth of the images that no draw reports. A start helps"
        " if it gains on every draw and its mean gain exceeds the range of scratch over the draws;"
        " it harms if it loses on every draw and by more than that range. The gain is one at equal,"
        " short fine-tuning; a longer one narrows it."
        f" Always naming the most frequent class reaches {found.guess:.1f} %."
    )


def _pretraining_lines(rows: Sequence[Row]) -> list[str]:
    return [
        f"- {row.arm.name}: pre-training ended at a loss of {row.pretraining.loss:.2f}; knowing"
        f" nothing is {row.pretraining.chance:.2f}"
        for row in rows
        if row.pretraining is not None
    ]


def _best(found: Finding) -> Row:
    """The formula set that gained most."""
    rows = found.tables[-1][1]
    return max((row for row in rows if row.gains), key=lambda row: row.gain)


def small_command(found: Finding) -> str:
    """How to get a model from what the trial has made: its best start, all of the pictures."""
    best = _best(found)
    start = shlex.quote(str(found.output / "pretrained" / best.arm.name))
    return (
        f"fdsl-train finetune {f'--checkpoint {start}' if best.gain > 0 else '--from-scratch'}"
        f" --data {shlex.quote(str(found.data))} --val-split 0.2 --recipe {FINETUNE}"
        " --output runs/small"
    )


def next_commands(found: Finding) -> list[str]:
    """How to go on at full size, with the set that did best."""
    best = _best(found).arm
    full = best.full or best.name
    data = shlex.quote(str(found.data))
    return [
        f"fdsl-gen {full} --out {full}",
        f"fdsl-train pretrain --data {full} --output runs/{full}",
        f"fdsl-train finetune --checkpoint runs/{full} --data {data} --val-split 0.2"
        " --output runs/mine",
    ]
