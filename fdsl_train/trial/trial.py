"""``fdsl-train trial``: whether formula pre-training helps on a folder of pictures."""

import json
import logging
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

from fdsl_gen.core.cpus import default_workers
from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.json_text import parse_json, read_bounded
from fdsl_gen.storage import local
from fdsl_train.analysis.figures.save import check_picture
from fdsl_train.config import load_config
from fdsl_train.distributed.device import has_gpu
from fdsl_train.trial.arms import SCRATCH, Arm, formula_sets
from fdsl_train.trial.budget import (
    FINETUNE,
    PRETRAIN,
    RATES,
    Effort,
    choose_effort,
    measure_speed,
    refit,
)
from fdsl_train.trial.draws import (
    Parts,
    Pictures,
    choosing_parts,
    parts_of,
    small_copies,
    write_parts,
)
from fdsl_train.trial.pieces import Piece, one_threaded, run_pieces
from fdsl_train.trial.report import (
    PICTURE,
    REPORT,
    Finding,
    conclusion,
    next_commands,
    small_command,
    table_lines,
    write_report,
)
from fdsl_train.trial.results import (
    Pretraining,
    Row,
    last_top1,
    make_rows,
    read_pretraining,
)

logger = logging.getLogger(__name__)

Device = Literal["auto", "cpu"]

STATE = "trial.json"
_MOST_STATE = 1 << 16  # bytes
_BATCH = 32
_MOST_ON_GPU = 8  # processes that share it, each with some hundred megabytes of its memory


@dataclass(frozen=True)
class _Trial:
    """What the steps of a trial share."""

    output: Path
    pictures: Pictures
    arms: list[Arm]
    labels: list[int | None]
    effort: Effort
    deadline: float
    gpu: bool

    def pretrained(self, arm: Arm) -> Path | None:
        return None if arm.dataset is None else self.output / "pretrained" / arm.name

    def pretraining(self, arm: Arm) -> Piece:
        steps = self.effort.pretrain_steps
        return Piece(
            name=f"pre-training on {arm.name}",
            purpose="pretrain",
            recipe=PRETRAIN,
            data=arm.data(self.output / "sets"),
            output=self.output / "pretrained" / arm.name,
            settings=self._length(steps, 60),
            dataset=arm.dataset_options(),
        )

    def finetuning(self, arm: Arm, kind: str, name: str, rate: float, seed: int) -> Piece:
        """On the parts in the folder ``kind``, which were written before."""
        data = self.output / kind
        images = sum(1 for _ in (data / "train").rglob("*.png"))
        steps = self.effort.finetune_steps
        folder = f"{arm.name} {name}".replace(",", "").replace(" ", "-")
        return Piece(
            name=f"{arm.name}, {name}",
            purpose="finetune",
            recipe=FINETUNE,
            data=data,
            output=self.output / "finetuned" / folder,
            start=self.pretrained(arm),
            settings=self._length(steps, 40)
            | {"lr": rate, "seed": seed, "global_batch_size": min(_BATCH, images)}
            | {"eval_epochs": 1.0e6},  # after the last step alone
        )

    def _length(self, steps: int, warmup: int) -> dict[str, Any]:
        return {
            "steps": steps,
            "warmup_steps": min(warmup, steps // 10),
            "log_every": max(1, steps // 20),
            "checkpoint_every": steps,
            "workers": 0,
        } | ({"device": "auto"} if self.gpu else {})  # the recipes say cpu


def trial(
    data: str | Path,
    output: str | Path,
    *,
    minutes: float = 20.0,
    labels: Sequence[int | None] = (None,),
    sets: Sequence[str] = (),
    jobs: int | None = None,
    device: Device = "auto",
) -> Finding:
    """Compare fine-tuning from formulas and from scratch on a folder of pictures.

    The folder ``output`` gets ``trial.md`` and ``trial.png``, and keeps what was made, so that the
    same call goes on after an interruption.

    Args:
        data: a tree of class folders, or one whose folder ``train`` has them.
        output: folder of the trial.
        minutes: how long it may take.
        labels: images of a class to learn from; None: all.
        sets: formula sets, of those that :func:`formula_sets` knows; empty: all there is time for.
        jobs: processes of one thread; None: one for each CPU.
        device: ``auto``: a GPU if there is one, which all processes share.

    Returns:
        What came out.

    Raises:
        UsageError: if the folder cannot be used, or the minutes are too few.
        FdslError: if a run fails.

    For instance ``trial("photos/", "trial", minutes=20, sets=["fractal-1"]).tables``.
    """
    began = time.monotonic()
    root, output = Path(data), Path(output)
    gpu = device == "auto" and has_gpu()
    jobs = jobs or min(default_workers(), _MOST_ON_GPU if gpu else sys.maxsize)
    formulas = formula_sets(tuple(sets))
    check_picture(output / PICTURE)
    asked = {
        "data": str(root),
        "labels": list(labels),
        "sets": [arm.name for arm in formulas],
        "device": "gpu" if gpu else "cpu",
    }
    state = _open(output, asked)
    side = 2 * (load_config(PRETRAIN, "pretrain", {}).img_size or 0)
    pictures = small_copies(root, output / "images", side)
    amounts = _useful(pictures, labels)
    measured = len(parts_of(pictures, 0, None).val)
    with one_threaded(jobs) as pool:
        if "effort" in state:
            effort = Effort(**state["effort"])
        else:
            speed = measure_speed(pool, jobs, "cuda" if gpu else "cpu")
            effort = choose_effort(
                speed,
                minutes=minutes,
                sets=len(formulas),
                labels=len(amounts),
                measured=measured,
                jobs=jobs,
            )
            _keep(output, asked | {"effort": effort.to_dict()})
        deadline = began + 60 * minutes
        arms = [Arm(name=SCRATCH), *formulas[: effort.sets]]
        run = _Trial(output, pictures, arms, amounts, effort, deadline, gpu)
        logger.info(
            f"{len(pictures.labels):,} images of {len(pictures.classes)} classes; sets:"
            f" {', '.join(arm.name for arm in arms[1:])}; {effort.pretrain_steps:,} steps of"
            f" pre-training, {effort.finetune_steps:,} of fine-tuning, {effort.draws} draws"
        )
        before = [run.pretraining(arm) for arm in arms[1:]]
        run_pieces(before, pool, logger.info)
        if not (output / "finetuned").is_dir():
            seen = max(piece.seconds() or 0.0 for piece in before) / before[0].images
            left = deadline - time.monotonic()
            effort = refit(
                effort, 1 / seen, left, labels=len(amounts), measured=measured, jobs=jobs
            )
            _keep(output, asked | {"effort": effort.to_dict()})
            if effort.sets < len(arms) - 1:
                logger.info(f"this machine got slower: {effort.sets} sets, not {len(arms) - 1}")
            run = replace(run, effort=effort, arms=arms[: effort.sets + 1])
        rates = _choose_rates(run, pool)
        tables, pieces = _measure(run, rates, pool)
    minutes_taken = (time.monotonic() - began) / 60
    val = parts_of(pictures, 0, None).val
    counts = [sum(pictures.labels[n] == label for n in val) for label in set(pictures.labels)]
    found = Finding(
        data=root,
        output=output,
        effort=replace(effort, draws=len(tables[0][1][0].top1)),
        rates=rates,
        tables=tables,
        guess=100.0 * max(counts) / len(val),
        facts=[
            f"{len(pictures.labels):,} images of {len(pictures.classes)} classes,"
            f" {measured:,} measured on in each draw.",
            f"{date.today()}, {jobs} processes of one thread"
            f"{' that share a GPU' if gpu else ''}, {minutes_taken:.0f} minutes.",
        ],
        commands=[command for piece in [*before, *pieces] for command in piece.commands],
    )
    write_report(found)
    _tell(found)
    return found


def _tell(found: Finding) -> None:
    for name, rows in found.tables:
        logger.info(f"with {name}:")
        for line in table_lines(rows):
            logger.info(line)
    logger.info(conclusion(found.tables))
    logger.info(f"report {found.output / REPORT}, picture {found.output / PICTURE}")
    logger.info("a model from this trial, in minutes on a CPU:")
    logger.info(f"  {small_command(found)}")
    logger.info("at full size, on a GPU:")
    for command in next_commands(found):
        logger.info(f"  {command}")


def _open(output: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a trial in the folder, which must be empty or of the same trial."""
    state: dict[str, Any] = {}
    try:
        output.mkdir(parents=True, exist_ok=True)
        if (output / STATE).exists():
            state = parse_json(read_bounded(output / STATE, _MOST_STATE), str(output / STATE))
        elif any(output.iterdir()):
            raise UsageError(f"{output} is not empty and not a trial; choose another --output")
    except OSError as error:
        raise UsageError(f"cannot use the output folder {output}: {error.strerror}") from None
    changed = [name for name in asked if state and state.get(name) != asked[name]]
    if changed:
        raise UsageError(
            f"{output} holds a trial with other {' and '.join(changed)}; choose another --output"
        )
    if not state:
        _keep(output, asked)
    return state


def _keep(output: Path, state: dict[str, Any]) -> None:
    local.write(output / STATE, json.dumps(state, indent=1).encode())


def _useful(pictures: Pictures, labels: Sequence[int | None]) -> list[int | None]:
    """The amounts of labels that differ from all of them."""
    everything = parts_of(pictures, 0, None).train
    kept: list[int | None] = []
    for amount in dict.fromkeys(labels):
        if amount is not None and parts_of(pictures, 0, amount).train == everything:
            logger.info(
                f"no class has more than {amount} images to learn from: that is all of them"
            )
            amount = None
        if amount not in kept:
            kept.append(amount)
    return kept


def _parts(run: _Trial, kind: str, parts: Parts) -> None:
    write_parts(run.output / kind, run.pictures, parts)


def _choose_rates(run: _Trial, pool: Executor) -> dict[str, float]:
    """The learning rate of every arm that is best on the part that is not reported."""
    most = None if None in run.labels else max(amount for amount in run.labels if amount)
    kind = "choosing"
    _parts(run, kind, choosing_parts(run.pictures, most))
    pieces = {
        (arm.name, rate): run.finetuning(arm, kind, f"choosing, lr {rate:g}", rate, 0)
        for arm in run.arms
        for rate in RATES
    }
    run_pieces(list(pieces.values()), pool, logger.info)
    return {
        arm.name: max(RATES, key=lambda rate: last_top1(pieces[arm.name, rate].output))
        for arm in run.arms
    }


def _measure(
    run: _Trial, rates: dict[str, float], pool: Executor
) -> tuple[list[tuple[str, list[Row]]], list[Piece]]:
    """Tables by amount of labels, and the pieces of the first draw."""
    top1: dict[int | None, dict[str, list[float]]] = {
        amount: {arm.name: [] for arm in run.arms} for amount in run.labels
    }
    first: list[Piece] = []
    longest = 0.0
    for draw in range(run.effort.draws):
        if draw >= 2 and time.monotonic() + longest > run.deadline:
            logger.info(f"the minutes are over: {draw} draws, not {run.effort.draws}")
            break
        began = time.monotonic()
        pieces: dict[tuple[str, int | None], Piece] = {}
        for amount in run.labels:
            name = f"draw {draw}" + ("" if amount is None else f", {amount} labels")
            kind = f"draws/{draw}-{amount or 'all'}"
            _parts(run, kind, parts_of(run.pictures, draw, amount))
            for arm in run.arms:
                piece = run.finetuning(arm, kind, name, rates[arm.name], draw)
                pieces[arm.name, amount] = piece
        run_pieces(list(pieces.values()), pool, logger.info)
        for (arm_name, amount), piece in pieces.items():
            top1[amount][arm_name].append(last_top1(piece.output))
        first = first or list(pieces.values())
        longest = max(longest, time.monotonic() - began)
    ended: dict[str, Pretraining] = {}
    for arm in run.arms[1:]:
        piece = run.pretraining(arm)
        ended[arm.name] = read_pretraining(piece.output)
    return [
        (_named(run.pictures, amount), make_rows(run.arms, top1[amount], ended))
        for amount in run.labels
    ], first


def _named(pictures: Pictures, amount: int | None) -> str:
    images = len(parts_of(pictures, 0, amount).train)
    if amount is None:
        return f"all labels ({images:,} images)"
    return f"{amount} labels a class ({images:,} images)"
