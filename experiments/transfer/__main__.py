"""Run the comparison and write transfer.md: ``python -m experiments.transfer``."""

import shlex
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import click

from bench.__main__ import machine
from experiments.command import page_options, told
from experiments.transfer.digits import Digits, mnist, write_draw
from experiments.transfer.plan import PLAN, Plan, load_plan
from experiments.transfer.report import draw_picture, markdown
from fdsl_gen.storage import local
from fdsl_train.trial.arms import Arm
from fdsl_train.trial.pieces import Piece, Say, one_threaded, run_pieces
from fdsl_train.trial.results import Row, last_top1, make_rows, read_pretraining


def compare(plan: Plan, digits: Digits, work: Path, docs: Path, jobs: int, say: Say) -> None:
    """Run what is not done yet, then write ``transfer.md`` and ``transfer.png``.

    Args:
        plan: what to compare.
        digits: the real images.
        work: folder of datasets, draws and runs; finished pieces in it are kept.
        docs: folder of the report.
        jobs: processes.
        say: takes lines for the user.

    Raises:
        FdslError: if a command fails, or ``work`` holds results of other settings.
    """
    first = [pretraining(plan, arm, work) for arm in plan.arms if arm.dataset is not None]
    second = [finetuning(plan, arm, draw, work) for draw in plan.draws for arm in plan.arms]
    for draw in plan.draws:
        write_draw(work / "draws" / str(draw), digits, plan.labels, draw)
    with one_threaded(jobs) as pool:
        say(f"pre-training, {len(first)} pieces")
        run_pieces(first, pool, say)
        say(f"fine-tuning, {len(second)} pieces")
        run_pieces(second, pool, say)
    rows = read_rows(plan, work)
    draw_picture(plan, rows, docs / "transfer.png")
    held_out = len(digits.labels) - plan.labels * len(set(digits.labels.tolist()))
    facts = _facts([*first, *second])
    commands = _commands(work, [*first, *second[: len(plan.arms)]])
    text = markdown(plan, rows, held_out, facts, commands)
    local.write(docs / "transfer.md", text.encode())
    for row in rows:
        gain = f", gain {row.gain:+.1f}" if row.gains else ""
        say(f"{row.arm.name}: {row.mean:.1f} %{gain}")


def pretraining(plan: Plan, arm: Arm, work: Path) -> Piece:
    """Render the dataset of an arm and pre-train on it."""
    return Piece(
        name=f"pre-training {arm.name}",
        purpose="pretrain",
        recipe=plan.pretrain,
        data=arm.data(work / "data"),
        output=work / "pretrained" / arm.name,
        dataset=arm.dataset_options(),
    )


def finetuning(plan: Plan, arm: Arm, draw: int, work: Path) -> Piece:
    """Fine-tune the model of an arm on a draw."""
    return Piece(
        name=f"fine-tuning {arm.name}, draw {draw}",
        purpose="finetune",
        recipe=plan.finetune,
        data=work / "draws" / str(draw),
        output=work / "finetuned" / f"{arm.name}-{draw}",
        start=None if arm.dataset is None else work / "pretrained" / arm.name,
        settings={"seed": draw},
    )


def read_rows(plan: Plan, work: Path) -> list[Row]:
    """The rows of the table, in the order of the plan; all runs must be finished."""
    top1 = {
        arm.name: [last_top1(finetuning(plan, arm, draw, work).output) for draw in plan.draws]
        for arm in plan.arms
    }
    made = [pretraining(plan, arm, work) for arm in plan.arms if arm.dataset is not None]
    ended = {piece.output.name: read_pretraining(piece.output) for piece in made}
    return make_rows(plan.arms, top1, ended)


def _facts(pieces: Sequence[Piece]) -> str:
    minutes = sum(piece.seconds() or 0 for piece in pieces) / 60
    return (
        f"{machine()}, PyTorch {version('torch')}, timm {version('timm')}; {minutes:.0f}"
        " process-minutes in all, two processes of one thread at a time."
    )


def _commands(work: Path, pieces: Sequence[Piece]) -> list[str]:
    """The commands of the pieces without what says where files are, or changes no result."""
    without = ("--out=", "--output=", "--data=", "--resume=", "--workers=")
    return [
        shlex.join(part.replace(f"{work}/", "") for part in command if not part.startswith(without))
        for piece in pieces
        for command in piece.commands
    ]


@click.command()
@page_options(plan=PLAN, work=Path("runs/transfer"), docs=Path("runs/transfer"))
def main(plan: Path, work: Path, docs: Path, jobs: int) -> None:
    """Pre-train on formulas, fine-tune on digits, and write transfer.md and transfer.png."""
    with told():
        compare(load_plan(plan), mnist(), work, docs, jobs, click.echo)


if __name__ == "__main__":
    main()
