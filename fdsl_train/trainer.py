"""The loop: batches in, a trained model and its logs out."""

import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import nn
from torch.optim import Optimizer

from fdsl_gen.errors import FdslError
from fdsl_gen.seeding import Key
from fdsl_train import checkpoint
from fdsl_train.checkpoint import BEST, LAST
from fdsl_train.config import Resolved
from fdsl_train.data.loader import Batch, Loader
from fdsl_train.metrics import Accuracy, Log, Means
from fdsl_train.optim import learning_rate, set_learning_rate
from fdsl_train.progress import Progress
from fdsl_train.randomness import seed_all
from fdsl_train.tasks import Task


@dataclass(frozen=True)
class Validation:
    """What to measure on, and how often.

    Attributes:
        loader: one pass over the split.
        every: steps between validations; the last step is always followed by one.
    """

    loader: Loader
    every: int


@dataclass
class Trainer:
    """A run in progress.

    Attributes:
        config: the resolved recipe.
        facts: goes into every checkpoint as it is: digest of the data, classes, their names.
        num_samples: in an epoch, to say how many epochs were seen.
        output: folder of the run.
        validation: None where there is nothing to validate on.
        step: steps done.
        best: the validation with the highest top-1 so far, the earliest of equals.
        latest: the last validation.
    """

    config: Resolved
    task: Task
    model: nn.Module
    optimizer: Optimizer
    device: torch.device
    output: Path
    facts: dict[str, Any]
    num_samples: int
    validation: Validation | None = None
    step: int = 0
    best: dict[str, float] = field(default_factory=dict)
    latest: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._log = Log(self.output)
        self._since_line = Means()
        self._since_row = Means()
        scales = self._amp and self.config.amp_dtype == "float16"
        self._scaler = torch.amp.GradScaler("cuda", enabled=scales)
        self._saved_at = 0

    @property
    def _amp(self) -> bool:
        return self.config.amp and self.device.type == "cuda"

    def restore(self, saved: dict[str, Any] | None) -> None:
        """Continue from a checkpoint, or begin if there is none; logs are cut to fit."""
        if saved is not None:
            self.step = self._saved_at = saved["step"]
            self.model.load_state_dict(saved["model"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self._scaler.load_state_dict(saved["scaler"])
            self._since_line.restore(saved["since_line"])
            self._since_row.restore(saved["since_row"])
            self.best, self.latest = saved["best"], saved["latest"]
        self._log.rewind(self.step)

    def run(self, batches: Iterable[Batch], progress: Progress) -> None:
        """Take the steps that are left.

        Args:
            batches: those of steps ``self.step .. config.steps - 1``.
            progress: told of every step.

        Raises:
            FdslError: if the loss is not finite; the last checkpoint is older than that.
        """
        iterator = iter(batches)
        began, waited, logged = time.perf_counter(), 0.0, self.step
        for step in range(self.step, self.config.steps):
            asked = time.perf_counter()
            batch = next(iterator)
            waited += time.perf_counter() - asked
            self._take(step, batch)
            done = self.step = step + 1
            if done % self.config.log_every == 0 or done == self.config.steps:
                values = self._means(self._since_line)
                elapsed = time.perf_counter() - began
                images = (done - logged) * self.config.global_batch_size
                values |= {"images_per_s": images / elapsed, "data_wait": waited / elapsed}
                self._log.line(values)
                progress.show(values)
                began, waited, logged = time.perf_counter(), 0.0, done
            self._conclude(done)
            progress.step(done)

    def _take(self, step: int, batch: Batch) -> None:
        """One optimizer step."""
        self.model.train()
        images = batch.images.to(self.device, non_blocking=True)
        labels = batch.labels.to(self.device, non_blocking=True)
        # Keyed by the step, so that a resumed run draws the same mixup and dropout.
        seed_all(Key(self.config.seed, "step", (step,)))
        set_learning_rate(self.optimizer, learning_rate(self.config, step))
        with self._autocast():
            outcome = self.task.step(self.model, Batch(images, labels))
        self.optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(outcome.loss).backward()  # type: ignore[no-untyped-call]
        self._scaler.step(self.optimizer)
        self._scaler.update()
        values = {"loss": outcome.loss} | outcome.metrics
        self._since_line.add(values)
        self._since_row.add(values)

    def _autocast(self) -> AbstractContextManager[Any]:
        dtype = getattr(torch, self.config.amp_dtype)
        return torch.autocast(self.device.type, dtype=dtype, enabled=self._amp)

    def _conclude(self, done: int) -> None:
        """What falls due after ``done`` steps: validation, a row of the summary, a checkpoint."""
        last = done == self.config.steps
        saves = last or done % self.config.checkpoint_every == 0
        validates = self.validation is not None and (last or done % self.validation.every == 0)
        if saves or validates:
            self._check_weights()
        if validates:
            self._validate(done)
        if validates or (saves and self.validation is None):
            self._log.row(self._means(self._since_row) | self.latest)
        if saves:
            checkpoint.save(self.output / LAST, self._state())
            self._saved_at = done

    def _validate(self, done: int) -> None:
        assert self.validation is not None
        accuracy = Accuracy()
        self.model.eval()
        with torch.no_grad(), self._autocast():
            for batch in self.validation.loader:
                accuracy.add(self.model(batch.images.to(self.device)).cpu(), batch.labels)
        self.latest = accuracy.percent()
        if not self.best or self.latest["val_top1"] > self.best["val_top1"]:
            self.best = {"step": done} | self.latest
            checkpoint.save(self.output / BEST, self._state())

    def _means(self, means: Means) -> dict[str, float]:
        """Step, epoch, lr of the last step and the means since the last call."""
        if not means.is_finite():
            self._stop("the loss is not finite")
        seen = self.step * self.config.global_batch_size / self.num_samples
        lr = learning_rate(self.config, self.step - 1)
        return {"step": self.step, "epoch": seen, "lr": lr} | means.take()

    def _check_weights(self) -> None:
        """A finite loss may have been followed by an update that was not."""
        if not all(bool(torch.isfinite(weight).all()) for weight in self.model.parameters()):
            self._stop("the weights are not finite")

    def _stop(self, reason: str) -> NoReturn:
        kept = (
            f"the last good checkpoint, of step {self._saved_at}, is {self.output / LAST}"
            if self._saved_at
            else "no checkpoint was due before that"
        )
        raise FdslError(f"{reason} after step {self.step}; {kept}; try a lower --lr")

    def _state(self) -> dict[str, Any]:
        """The content of a checkpoint, but for its format."""
        return self.facts | {
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "config": self.config.to_dict(),
            "since_line": self._since_line.state(),
            "since_row": self._since_row.state(),
            "best": self.best,
            "latest": self.latest,
        }
