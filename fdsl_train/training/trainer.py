"""The loop: batches in, a trained model and its logs out."""

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import torch

from fdsl_gen.core import signals
from fdsl_gen.core.errors import FdslError, UsageError
from fdsl_train.config import Resolved
from fdsl_train.data.loader import Loader
from fdsl_train.distributed.group import Group
from fdsl_train.tasks.base import Guess, Task
from fdsl_train.training.checkpoint import BEST, LAST
from fdsl_train.training.checkpoint_writer import CheckpointWriter
from fdsl_train.training.logs import Log, Means
from fdsl_train.training.optim import learning_rate
from fdsl_train.training.profiling import StepProfiler
from fdsl_train.training.progress import Progress
from fdsl_train.training.signals import obey
from fdsl_train.training.train_step import Learner
from fdsl_train.transforms.batch import Batch

_ASK_OTHERS = 10  # steps between questions whether another process was told to stop


@dataclass(frozen=True)
class Validation:
    """What to measure on, and how often.

    Attributes:
        loader: this process's part of one pass over the split.
        every: steps between validations; the last step is always followed by one.
    """

    loader: Loader
    every: int


@dataclass
class Trainer:
    """A run in progress.

    Attributes:
        config: the resolved recipe.
        task: what to learn.
        learner: the model and its optimizer.
        group: the processes of the run; the first of them writes all files.
        output: folder of the run.
        facts: goes into every checkpoint as it is: digest of the data, classes, their names.
        num_samples: in an epoch, to say how many epochs were seen.
        about: what trackers are told of the run beside its recipe.
        peak_rate: images a second that the GPUs would compute at their peak, where it is known.
        validation: None where there is nothing to validate on.
        step: steps done.
        best: the validation with the highest first measure so far, the earliest of equals.
        latest: the last validation.
        guess: what knowing nothing would have reached in it.
    """

    config: Resolved
    task: Task
    learner: Learner
    group: Group
    output: Path
    facts: dict[str, Any]
    num_samples: int
    about: dict[str, Any] = field(default_factory=dict)
    peak_rate: float | None = None
    validation: Validation | None = None
    step: int = 0
    best: dict[str, float] = field(default_factory=dict)
    latest: dict[str, float] = field(default_factory=dict)
    guess: Guess | None = None

    def __post_init__(self) -> None:
        self._since_line = Means(self.group)
        self._since_row = Means(self.group)
        self._log: Log | None = None
        self._writer = CheckpointWriter(self.group.device)
        self._saved_at = 0  # step of the last checkpoint; it may still be on its way to the disk

    def restore(self, saved: dict[str, Any]) -> None:
        """Continue from a checkpoint.

        Raises:
            UsageError: if it is none of this run.
        """
        try:
            self.learner.restore(saved)
            self._since_line.restore(saved["since_line"])
            self._since_row.restore(saved["since_row"])
            if not 0 <= saved["step"] <= self.config.steps:
                raise ValueError(f"step {saved['step']} of {self.config.steps}")
            self.step = self._saved_at = saved["step"]
            self.best, self.latest = saved["best"], saved["latest"]
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise UsageError(
                f"{self.output / LAST} is no state of this run: {reason}; move it away to begin"
                " anew"
            ) from None

    def run(self, batches: Iterable[Batch], progress: Progress) -> None:
        """Take the steps that are left.

        Args:
            batches: this process's share of the batches of steps ``self.step .. config.steps - 1``.
            progress: told of every step.

        Raises:
            FdslError: if the loss is not finite; the last checkpoint is older than that.
            Stopped, KeyboardInterrupt: if a signal came; there is a checkpoint of the last step.
        """
        if self.group.is_main:
            settings = self.config.to_dict() | self.about
            self._log = Log(self.output, self.step, self.config.log_to, settings)
        count = self.config.profile if self.group.is_main else None
        left = range(self.step, self.config.steps)
        self._profiler = StepProfiler(self.output, left, count, self.group.device)
        try:
            with signals.noted() as request:
                self._steps(batches, progress, request)
            self._writer.wait()
        finally:
            self._profiler.close()
            self._writer.close()
            if self._log is not None:
                self._log.close(finished=self.step == self.config.steps)

    def _steps(
        self, batches: Iterable[Batch], progress: Progress, request: signals.Request
    ) -> None:
        iterator = iter(batches)
        began, waited, logged = time.perf_counter(), 0.0, self.step
        for step in range(self.step, self.config.steps):
            self._profiler.before(step)
            asked = time.perf_counter()
            batch = next(iterator)
            waited += time.perf_counter() - asked
            values = self.learner.train_step(step, batch)
            self._profiler.after(step)
            self._since_line.update(values)
            self._since_row.update(values)
            done = self.step = step + 1
            if done % self.config.log_every == 0 or done == self.config.steps:
                means = self._means(self._since_line)
                elapsed = time.perf_counter() - began
                images = (done - logged) * self.config.global_batch_size
                means |= {"images_per_s": images / elapsed, "data_wait": waited / elapsed}
                if self.peak_rate is not None:
                    means["mfu"] = images / elapsed / self.peak_rate
                if self._log is not None:
                    self._log.line(means)
                progress.show(means)
                began, waited, logged = time.perf_counter(), 0.0, done
            self._conclude(done)
            self._writer.check()
            progress.step(done)
            if done < self.config.steps and self._asked_to_stop(done, request):
                if self._saved_at != done:
                    self._check_weights()
                    self._save(LAST)
                self._writer.wait()
                obey(request, done)

    def _asked_to_stop(self, done: int, request: signals.Request) -> bool:
        if self.group.world_size == 1:
            return request.made
        return done % _ASK_OTHERS == 0 and self.group.any(request.made)

    def _conclude(self, done: int) -> None:
        """What falls due after ``done`` steps: validation, a row of the summary, a checkpoint."""
        last = done == self.config.steps
        saves = last or done % self.config.checkpoint_every == 0
        validates = self.validation is not None and (last or done % self.validation.every == 0)
        if saves or validates:
            self._check_weights()
        names = [LAST] if saves else []
        if validates and self._is_best(done):
            names.insert(0, BEST)
        if validates or (saves and self.validation is None):
            row = self._means(self._since_row) | self.latest
            if self._log is not None:
                self._log.row(row)
        if names:
            self._save(*names)

    def _is_best(self, done: int) -> bool:
        """Validate; whether no validation before was as good."""
        assert self.validation is not None
        score = self.task.score()
        model = self.learner.to_validate()
        with torch.no_grad(), self.learner.autocast():
            for batch in self.validation.loader:
                for found, labels in self.task.predict(model, batch):
                    score.update(found, labels)
        counts = self.group.sum(score.counts())
        self.latest, self.guess = score.percent(counts), score.guess(counts)
        first = next(iter(self.latest))
        best = not self.best or self.latest[first] > self.best[first]
        if best:
            self.best = {"step": done} | self.latest
        return best

    def _means(self, means: Means) -> dict[str, float]:
        """Step, epoch, lr of the last step and the means since the last call."""
        taken = means.compute()
        if not all(math.isfinite(value) for value in taken.values()):
            self._stop("the loss is not finite")
        seen = self.step * self.config.global_batch_size / self.num_samples
        lr = learning_rate(self.config, self.step - 1)
        return {"step": self.step, "epoch": seen, "lr": lr} | taken

    def _check_weights(self) -> None:
        """A finite loss may have been followed by an update that was not."""
        if not self.learner.is_finite():
            self._stop("the weights are not finite")

    def _stop(self, reason: str) -> NoReturn:
        self._writer.wait()
        kept = (
            f"the last good checkpoint, of step {self._saved_at}, is {self.output / LAST}"
            if self._saved_at
            else "no checkpoint was due before that"
        )
        raise FdslError(f"{reason} after step {self.step}; {kept}; try a lower --lr")

    def _save(self, *names: str) -> None:
        """Begin to write the state as it is now, under each of the names."""
        state = self.facts | {
            "step": self.step,
            "config": self.config.to_dict(),
            "since_line": self._since_line.state(),
            "since_row": self._since_row.state(),
            "best": self.best,
            "latest": self.latest,
            "guess": None if self.guess is None else vars(self.guess),
        }
        if self.group.is_main:
            paths = [self.output / name for name in names]
            covered = self._log.covered() if self._log is not None and LAST in names else None
            self._writer.save(paths, state | self.learner.state(), covered)
        if LAST in names:
            self._saved_at = self.step
