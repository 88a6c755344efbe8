"""What the trainer costs over a bare loop: ``python -m bench.trainer``.

Both take the same batches, ready in memory, through the same model; medians of alternating runs.
"""

import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import torch
import torch.nn.functional as F

from bench.__main__ import machine
from fdsl_train.config import Resolved, load_config
from fdsl_train.distributed.group import Group
from fdsl_train.distributed.launch import Process
from fdsl_train.models.architecture import architecture_of, create_model
from fdsl_train.tasks.classification import Classification
from fdsl_train.training.optim import create_optimizer
from fdsl_train.training.progress import Progress
from fdsl_train.training.train_step import Learner
from fdsl_train.training.trainer import Trainer
from fdsl_train.transforms.batch import Batch

CLASSES = 100


def silent(_: str) -> None:
    """Nothing is said."""


def fresh_model(config: Resolved) -> torch.nn.Module:
    """The model of the recipe, always with the same weights."""
    return create_model(
        architecture_of(config), num_classes=CLASSES, drop_path=config.drop_path, seed=0
    )


def bare_loop(config: Resolved, batches: list[Batch]) -> None:
    """Forward, backward, step, and nothing else."""
    model = fresh_model(config)
    optimizer = create_optimizer(config, model)
    model.train()
    off = config.smoothing / CLASSES
    for images, labels, _ in batches:
        targets = F.one_hot(labels, CLASSES) * (1 - config.smoothing) + off
        loss = F.cross_entropy(model(images), targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def our_loop(config: Resolved, batches: list[Batch]) -> None:
    """The trainer, with its logs and one checkpoint at the end."""
    config = dataclasses.replace(config, steps=len(batches))
    group = Group(Process(), torch.device("cpu"))
    task = Classification(config, CLASSES)
    learner = Learner(config, task, fresh_model(config), group)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            config=config,
            task=task,
            learner=learner,
            group=group,
            output=Path(folder),
            facts={},
            num_samples=1000,
        )
        trainer.run(batches, Progress(config.steps, 0, silent, quiet=True))


def timed(
    loop: Callable[[Resolved, list[Batch]], None], config: Resolved, batches: list[Batch]
) -> float:
    """Milliseconds a step."""
    began = time.perf_counter()
    loop(config, batches)
    return (time.perf_counter() - began) / len(batches) * 1e3


@click.command()
@click.option("--steps", default=150, show_default=True, help="steps of a run")
@click.option("--runs", default=5, show_default=True, help="runs of each")
def main(steps: int, runs: int) -> None:
    """Measure the recipe cpu-smoke, one thread."""
    torch.set_num_threads(1)
    config = load_config("cpu-smoke", "pretrain", {"steps": steps}).resolve(1000)
    generator = torch.Generator().manual_seed(0)
    size = (config.global_batch_size, 3, config.img_size, config.img_size)
    batches = [
        Batch(
            torch.randn(size, generator=generator),
            torch.randint(CLASSES, (config.global_batch_size,), generator=generator),
        )
        for _ in range(steps)
    ]
    for loop in (bare_loop, our_loop):  # imports, caches
        loop(config, batches[: config.log_every])
    bare, ours = [], []
    for _ in range(runs):
        bare.append(timed(bare_loop, config, batches))
        ours.append(timed(our_loop, config, batches))
    first, second = statistics.median(bare), statistics.median(ours)
    pairs = statistics.median(b / a for a, b in zip(bare, ours, strict=True))
    click.echo(machine())
    click.echo("| bare loop, ms a step | trainer, ms a step | trainer / bare |")
    click.echo("|---|---|---|")
    click.echo(f"| {first:.2f} | {second:.2f} | {pairs:.3f} |")


if __name__ == "__main__":
    main()
