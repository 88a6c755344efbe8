"""transfer.md and transfer.png."""

import textwrap
from collections.abc import Iterable
from pathlib import Path

from experiments.transfer.plan import Plan
from fdsl_train.analysis.figures.gains import Bar, Kind, draw_gains
from fdsl_train.trial.results import Row, is_clear


def markdown(
    plan: Plan, rows: list[Row], held_out: int, facts: str, commands: Iterable[str]
) -> str:
    """The document: the comparison, the table and the commands.

    Args:
        plan: what was compared.
        rows: what came out.
        held_out: digits that accuracy was measured on.
        facts: machine, date, versions and time, a paragraph.
        commands: that were run, one a line.
    """
    scratch = next(row for row in rows if not row.gains)
    head = ["arm", "loss (chance)", *(f"draw {seed}" for seed in plan.draws), "mean", "gain"]
    head += ["least .. greatest", "clear"]
    table = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    table += [f"| {' | '.join(_cells(row, scratch))} |" for row in rows]
    listing = "\n".join(f"    {command}" for command in commands)
    return "\n\n".join(
        [
            "# Do formulas pre-train?",
            textwrap.fill(_introduction(plan, held_out), 100),
            "![accuracy by arm](transfer.png)",
            "\n".join(table),
            textwrap.fill(facts, 100),
            "## Commands",
            "As run, without the places of files; of fine-tuning, the first draw:",
            listing + "\n",
        ]
    )


def _introduction(plan: Plan, held_out: int) -> str:
    labels = 10 * plan.labels
    return (
        "Written by `make transfer` (`python -m experiments.transfer`). Each arm pre-trains a very"
        f" small ViT on images drawn from formulas (`--recipe {Path(plan.pretrain).stem}`) and"
        f" fine-tunes all of it on {labels} real MNIST digits, {plan.labels} of each (`--recipe"
        f" {Path(plan.finetune).stem}`); scratch starts from freshly drawn weights instead, with"
        " the same fine-tuning. Top-1 in percent on all"
        f" {held_out:,} other digits, after the last step. A draw is a choice of labeled"
        " digits and the seed of the fine-tuning; gains are points above scratch on the same draw."
        " A gain is called clear if every draw gains and the mean gain exceeds the range of"
        " scratch over the draws. Loss: of pre-training, mean of the last tenth, against that of a"
        " model that knows nothing, ln(categories). Arms marked (control) must not be clear."
    )


def _cells(row: Row, scratch: Row) -> list[str]:
    control = " (control)" if row.arm.control else ""
    loss = gain = spread = clear = ""
    if row.pretraining is not None:
        loss = f"{row.pretraining.loss:.2f} ({row.pretraining.chance:.2f})"
        gain = f"{row.gain:+.1f}"
        spread = f"{min(row.gains):+.1f} .. {max(row.gains):+.1f}"
        clear = "yes" if is_clear(row, scratch) else "no"
    draws = [f"{value:.1f}" for value in row.top1]
    return [row.arm.name + control, loss, *draws, f"{row.mean:.1f}", gain, spread, clear]


def draw_picture(plan: Plan, rows: list[Row], path: Path) -> None:
    """A bar from zero to the mean of each arm, best on top, and a dot for every draw."""
    bars = [Bar(row.arm.name, row.top1, _kind(row)) for row in rows]
    labels = f"{10 * plan.labels} labeled digits"
    title = f"Formula pre-training and MNIST, {len(plan.draws)} draws of {labels}"
    draw_gains(path, [("", bars)], title, "top-1 on all other digits, %", guess=10.0)


def _kind(row: Row) -> Kind:
    if row.arm.control:
        return "control"
    return "formula" if row.gains else "scratch"
