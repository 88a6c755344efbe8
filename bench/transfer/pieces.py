"""The work in pieces: each is a few commands of the project and leaves a record when done."""

import json
import os
import shlex
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

from bench.transfer.plan import Arm, Plan
from fdsl_gen.core.errors import FdslError, UsageError
from fdsl_gen.storage import local
from fdsl_train.config import Purpose, TrainConfig, load_config

Command = list[str]  # as typed, the program first
Say = Callable[[str], None]


@dataclass(frozen=True)
class Piece:
    """Commands that run one after the other.

    Attributes:
        name: for the log.
        commands: of fdsl-gen and fdsl-train.
        recipe: settings of the training run, so that a record of others is not taken for it.
        output: folder of the training run; the record lies beside it.
        images: shown to the model, as a measure of the work.
    """

    name: str
    commands: tuple[Command, ...]
    recipe: dict[str, Any]
    output: Path
    images: int

    @property
    def _record(self) -> Path:
        return self.output.with_name(f"{self.output.name}.done.json")

    def _facts(self) -> dict[str, Any]:
        return {"commands": [list(c) for c in self.commands], "recipe": self.recipe}

    def seconds(self) -> float | None:
        """How long it took, or None if it is not done.

        Raises:
            UsageError: if what is done was done with other settings.
        """
        if not self._record.exists():
            return None
        record = json.loads(self._record.read_text(encoding="utf-8"))
        seconds: float = record.pop("seconds")
        if record != json.loads(json.dumps(self._facts())):
            raise UsageError(
                f"{self.output} was made with other settings; delete it and {self._record.name},"
                " or choose another --work"
            )
        return seconds

    def run(self) -> None:
        """Run the commands, their output going to ``<output>.log``, and leave the record.

        Raises:
            FdslError: if one fails.
        """
        began = time.perf_counter()
        log = self.output.with_name(f"{self.output.name}.log")
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file, redirect_stdout(file), redirect_stderr(file):
            for command in self.commands:
                code = _execute(command)
                if code:
                    raise FdslError(f"exit code {code}: {shlex.join(command)}; see {log}")
        seconds = round(time.perf_counter() - began, 1)
        record = json.dumps(self._facts() | {"seconds": seconds}, indent=1)
        local.write(self._record, record.encode())


def _execute(command: Command) -> int:
    """Run a command of the project as its entry point does, in this process; its exit code."""
    from fdsl_gen.cli.main import main as fdsl_gen
    from fdsl_train.cli.main import main as fdsl_train

    sys.argv = list(command)  # one process runs many: starting PyTorch takes longer than a toy run
    try:
        fdsl_gen() if command[0] == "fdsl-gen" else fdsl_train()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def pretraining(plan: Plan, arm: Arm, work: Path) -> Piece:
    """Render the dataset of an arm and pre-train on it."""
    data, output = work / "data" / arm.name, work / "pretrained" / arm.name
    config = load_config(plan.pretrain, "pretrain", {})
    return Piece(
        f"pre-training {arm.name}",
        (
            ["fdsl-gen", *arm.dataset_options(), "--workers=1", f"--out={data}"],
            _training("pretrain", plan.pretrain, data, output),
        ),
        config.to_dict(),
        output,
        _images(config),
    )


def finetuning(plan: Plan, arm: Arm, draw: int, work: Path) -> Piece:
    """Fine-tune the model of an arm on a draw."""
    data, output = work / "draws" / str(draw), work / "finetuned" / f"{arm.name}-{draw}"
    config = load_config(plan.finetune, "finetune", {})
    start = ["--from-scratch"]
    if arm.dataset is not None:
        start = [f"--checkpoint={work / 'pretrained' / arm.name / 'last.pth.tar'}"]
    return Piece(
        f"fine-tuning {arm.name}, draw {draw}",
        ([*_training("finetune", plan.finetune, data, output), f"--seed={draw}", *start],),
        config.to_dict(),
        output,
        _images(config),
    )


def _training(purpose: Purpose, recipe: str, data: Path, output: Path) -> Command:
    places = [f"--recipe={recipe}", f"--data={data}", f"--output={output}"]
    return ["fdsl-train", purpose, *places, "--resume=auto"]


def _images(config: TrainConfig) -> int:
    return (config.steps or 0) * config.global_batch_size


def one_threaded(jobs: int) -> ProcessPoolExecutor:
    """``jobs`` processes of one thread each, which start when the first piece is given to them."""
    return ProcessPoolExecutor(jobs, get_context("spawn"), initializer=_prepare_worker)


def run_pieces(pieces: Sequence[Piece], pool: Executor, say: Say) -> None:
    """Run those that are not done yet.

    Raises:
        FdslError: if one fails; those that are running are finished first.
        UsageError: if one was done with other settings.
    """
    left = [piece for piece in pieces if piece.seconds() is None]
    if len(left) < len(pieces):
        say(f"{len(pieces) - len(left)} of {len(pieces)} are done already")
    total, shown, began = sum(piece.images for piece in left), 0, time.monotonic()
    futures = {pool.submit(piece.run): piece for piece in left}
    try:
        for number, future in enumerate(as_completed(futures), 1):
            future.result()
            shown += futures[future].images
            passed = time.monotonic() - began
            remaining = passed * (total / shown - 1)
            say(
                f"{number} of {len(left)}: {futures[future].name} done;"
                f" {_clock(passed)} passed, {_clock(remaining)} left"
            )
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise


def _prepare_worker() -> None:
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = "1"
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)  # an idle worker would wait for work for ever


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:02d}:{int(seconds) % 60:02d}"
