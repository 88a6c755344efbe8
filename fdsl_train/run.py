"""A run from its parts: what pre-training and fine-tuning have in common."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from fdsl_train.checkpoint import LAST
from fdsl_train.config import Resolved
from fdsl_train.data.loader import Loader
from fdsl_train.data.order import Order, Sequential
from fdsl_train.data.source import Source, num_samples
from fdsl_train.device import describe
from fdsl_train.export import export
from fdsl_train.models import num_parameters
from fdsl_train.optim import create_optimizer
from fdsl_train.output import EXPORT, check_same_run, open_output, write_args
from fdsl_train.progress import Progress, Say
from fdsl_train.tasks import Classification
from fdsl_train.trainer import Trainer, Validation
from fdsl_train.transforms import eval_transform, train_transform


@dataclass(frozen=True, kw_only=True)
class Run:
    """Everything a run needs.

    Attributes:
        config: the resolved recipe.
        device: where to compute.
        model: with its first weights.
        source: training samples.
        validation: samples to measure on, if any.
        output: folder of the run.
    """

    config: Resolved
    device: torch.device
    model: nn.Module
    source: Source
    validation: Source | None = None
    output: Path


def train(run: Run, *, resume: bool, say: Say) -> Trainer | None:
    """Train to the end, and export the model.

    Args:
        run: what to do.
        resume: continue what stands in the output folder, if anything does.
        say: takes lines for the user.

    Returns:
        The finished trainer, or None if the run had been finished before.
    """
    config, source = run.config, run.source
    transform = train_transform(config)
    saved = open_output(run.output, resume=resume)
    if saved is not None:
        check_same_run(run.output, saved, config, source.digest)
        if saved["step"] == config.steps and (run.output / EXPORT).is_dir():
            say(f"{run.output} is finished already: all {config.steps} steps are done")
            return None
    write_args(run.output, config, source.name)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    trainer = _trainer(run)
    trainer.restore(saved)
    _announce(run, trainer.step, say)
    batches = Loader(
        source,
        Order(source.shard_sizes, config.seed, config.global_batch_size),
        transform,
        seed=config.seed,
        batches=range(trainer.step, config.steps),
        workers=_processes(config),
        pin_memory=run.device.type == "cuda",
    )
    progress = Progress(config.steps, trainer.step, say)
    try:
        trainer.run(batches, progress)
    finally:
        progress.close()
    exported = export(run.output, trainer.model, config, source.class_names)
    say(f"all {config.steps} steps done, after {progress.elapsed}")
    say(f"checkpoint {run.output / LAST}, model for timm {exported}")
    return trainer


def _trainer(run: Run) -> Trainer:
    config, source = run.config, run.source
    model = run.model.to(run.device)
    samples = num_samples(source)
    validation = None
    if run.validation is not None:
        plan = Sequential(run.validation.shard_sizes, config.global_batch_size)
        loader = Loader(
            run.validation,
            plan,
            eval_transform(config),
            seed=config.seed,
            batches=range(plan.num_batches),
            workers=_processes(config),
        )
        validation = Validation(loader, config.steps_for(config.eval_epochs, samples))
    return Trainer(
        config=config,
        task=Classification(config, source.num_classes),
        model=model,
        optimizer=create_optimizer(config, model),
        device=run.device,
        output=run.output,
        facts={
            "data": source.digest,
            "num_classes": source.num_classes,
            "class_names": source.class_names,
        },
        num_samples=samples,
        validation=validation,
    )


def _processes(config: Resolved) -> int:
    """Loader processes: more than there are CPUs for this process would only take turns."""
    return min(config.workers, len(os.sched_getaffinity(0)))


def _announce(run: Run, start: int, say: Say) -> None:
    """What is about to happen, in two lines."""
    config = run.config
    samples = num_samples(run.source)
    images = config.steps * config.global_batch_size
    say(
        f"{config.model}, {num_parameters(run.model) / 1e6:.2f}M weights, {config.img_size} px,"
        f" {run.source.num_classes} classes, on {describe(run.device)}"
    )
    begin = f"from step {start} to {config.steps}" if start else f"{config.steps} steps"
    say(
        f"{begin} of {config.global_batch_size} images: {images} images,"
        f" {images / samples:.4g} epochs of {samples}; peak lr {config.peak_lr:.3g}"
    )
