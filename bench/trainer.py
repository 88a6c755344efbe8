"""What the trainer costs over a bare loop, and what a checkpoint costs a step.

``python -m bench.trainer``. Both loops take the same batches, ready in memory, through the same
model; medians of alternating runs, in seconds of the processor, for machines are shared.
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
from fdsl_train.training import checkpoint
from fdsl_train.training.checkpoint_writer import CheckpointWriter
from fdsl_train.training.optim import create_optimizer
from fdsl_train.training.progress import Progress
from fdsl_train.training.train_step import Learner
from fdsl_train.training.trainer import Trainer
from fdsl_train.transforms.batch import Batch

CLASSES = 100


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
    """The trainer, with its logs, TensorBoard's among them, and one checkpoint at the end."""
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
        trainer.run(batches, Progress(config.steps, 0, quiet=True))


def timed(
    loop: Callable[[Resolved, list[Batch]], None], config: Resolved, batches: list[Batch]
) -> float:
    """Milliseconds of the processor a step, all threads together."""
    began = time.process_time()
    loop(config, batches)
    return (time.process_time() - began) / len(batches) * 1e3


def checkpoint_times(name: str) -> tuple[float, float, float]:
    """Of a model after a step of AdamW: MB, and the milliseconds that a step is held.

    The last two are of the thread that takes steps: with the checkpoint written by it, and by a
    thread of its own.
    """
    settings = {
        "steps": 10,
        "warmup_steps": 1,
        "mixup": 0.0,
        "cutmix": 0.0,
        "model": name,
        "img_size": 224,
    }
    settings |= dict.fromkeys(("patch_size", "embed_dim", "depth", "num_heads"))
    config = load_config("cpu-smoke", "pretrain", settings).resolve(1000)
    group = Group(Process(), torch.device("cpu"))
    learner = Learner(config, Classification(config, CLASSES), fresh_model(config), group)
    learner.train_step(0, Batch(torch.randn(2, 3, 224, 224), torch.arange(2)))
    writer = CheckpointWriter(group.device)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "last.pth.tar"
        held: dict[str, list[float]] = {"by it": [], "by a thread": []}
        for _ in range(3):
            for way, times in held.items():
                state = {"config": {}} | learner.state()
                began = time.thread_time()
                if way == "by it":
                    checkpoint.save(path, state)
                else:
                    writer.save([path], state)
                times.append((time.thread_time() - began) * 1e3)
                writer.wait()
        size = path.stat().st_size / 1e6
    first, second = (statistics.median(times) for times in held.values())
    return size, first, second


@click.command()
@click.option("--steps", default=150, show_default=True, help="steps of a run")
@click.option("--runs", default=5, show_default=True, help="runs of each")
@click.option(
    "--models",
    default="vit_tiny_patch16_224,vit_base_patch16_224",
    show_default=True,
    help="whose checkpoints to measure",
)
def main(steps: int, runs: int, models: str) -> None:
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
    click.echo("\n| checkpoint of | MB | written by the step, ms | step held, ms |")
    click.echo("|---|---|---|---|")
    for name in models.split(","):
        size, alone, held = checkpoint_times(name)
        click.echo(f"| {name} | {size:,.0f} | {alone:,.0f} | {held:,.0f} |")


if __name__ == "__main__":
    main()
