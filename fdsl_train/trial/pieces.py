"""The work in pieces: a training run, its dataset before it, and a record when it is done."""

import json
import logging
import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

from fdsl_gen.core.cli.flags import flag_of
from fdsl_gen.core.errors import FdslError, UsageError
from fdsl_gen.storage import local
from fdsl_train.config import Purpose, load_config

Command = list[str]  # as typed, the program first
Say = Callable[[str], None]


@dataclass(frozen=True)
class Piece:
    """A training run, and the command that makes its dataset.

    Attributes:
        name: for the log.
        purpose: which training.
        recipe: name or path.
        data: folder of images, or a recipe in one text.
        output: folder of the run; the record and the log lie beside it.
        start: run to fine-tune; None: freshly drawn weights.
        settings: over the recipe's.
        dataset: what follows fdsl-gen to make ``data``; empty if it is there.
    """

    name: str
    purpose: Purpose
    recipe: str
    data: Path | str
    output: Path
    start: Path | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    dataset: tuple[str, ...] = ()

    @property
    def images(self) -> int:
        """Shown to the model, as a measure of the work; 0 where epochs say how many."""
        config = load_config(self.recipe, self.purpose, self.settings)
        return (config.steps or 0) * config.global_batch_size

    @property
    def commands(self) -> list[Command]:
        """What to type for it."""
        places = [f"--recipe={self.recipe}", f"--data={self.data}", f"--output={self.output}"]
        more = [f"{flag_of(name)}={value}" for name, value in self.settings.items()]
        start = []
        if self.purpose == "finetune":
            scratch = self.start is None
            start = ["--from-scratch" if scratch else f"--checkpoint={self.start}"]
        training = ["fdsl-train", self.purpose, *places, "--resume=auto", *more, *start]
        if not self.dataset:
            return [training]
        return [["fdsl-gen", *self.dataset, "--workers=1", f"--out={self.data}"], training]

    @property
    def _record(self) -> Path:
        return self.output.with_name(f"{self.output.name}.done.json")

    @property
    def _log(self) -> Path:
        return self.output.with_name(f"{self.output.name}.log")

    def _facts(self) -> dict[str, Any]:
        recipe = load_config(self.recipe, self.purpose, self.settings).to_dict()
        return {"commands": self.commands, "recipe": recipe}

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
                " or choose another folder"
            )
        return seconds

    def run(self) -> None:
        """Do it, what is told going to ``<output>.log``, and leave the record.

        Raises:
            FdslError: if it fails.
        """
        began = time.perf_counter()
        self._log.parent.mkdir(parents=True, exist_ok=True)
        logger = logging.getLogger("fdsl_train")
        handler = logging.FileHandler(self._log)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            with self._log.open("a", encoding="utf-8") as file, redirect_stderr(file):
                if self.dataset:
                    _call(self.commands[0], self._log)
                self._train()
        except FdslError as error:
            raise FdslError(f"{self.name} failed: {error}; see {self._log}") from None
        finally:
            logger.removeHandler(handler)
            handler.close()
        seconds = round(time.perf_counter() - began, 1)
        record = json.dumps(self._facts() | {"seconds": seconds}, indent=1)
        local.write(self._record, record.encode())

    def _train(self) -> None:
        # PyTorch counts its threads when it is imported, which must be after _prepare_worker.
        from fdsl_train.training.finetune import finetune
        from fdsl_train.training.pretrain import pretrain

        how: dict[str, Any] = {"recipe": self.recipe, "resume": True} | self.settings
        if self.purpose == "pretrain":
            pretrain(self.data, self.output, **how)
        else:
            finetune(self.data, self.output, checkpoint=self.start, **how)


def _call(command: Command, log: Path) -> None:
    """Run fdsl-gen in a process of its own.

    Raises:
        FdslError: if it fails.
    """
    with log.open("a", encoding="utf-8") as file:
        words = [sys.executable, "-m", "fdsl_gen.cli", *command[1:]]
        code = subprocess.run(words, stdout=file, stderr=file, check=False).returncode
    if code:
        raise FdslError(f"exit code {code}: {shlex.join(command)}")


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
