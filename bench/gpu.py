"""What a GPU computes, and what it waits for: ``python -m bench.gpu``, part of ``make gpu-check``.

The published recipes, whole runs of ``pretrain`` with logs and a checkpoint at the end, from
shards, from their decoded copy and from the recipe without files, beside a bare loop on one batch
that lies on the device. Rates are of the second half of a run.
"""

import contextlib
import logging
import platform
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import click
import torch
import torch.nn.functional as F

import fdsl_train
from fdsl_gen import generate, load_recipe
from fdsl_train.config import Resolved, load_config
from fdsl_train.distributed.device import choose_device, describe
from fdsl_train.models.architecture import architecture_of, create_model
from fdsl_train.training.optim import create_optimizer

CLASSES = 1000
RECIPES = {"vit_tiny_patch16_224": "one-instance-1k", "vit_base_patch16_224": "visualatom-21k"}


def card(device: torch.device) -> str:
    """The line above the table."""
    versions = f"PyTorch {torch.__version__}, CUDA {torch.version.cuda}"
    return f"{date.today()}, {describe(device)}, {versions}, Python {platform.python_version()}"


@contextlib.contextmanager
def peak_memory(device: torch.device) -> Iterator[list[float]]:
    """GB that were taken on the device at most, once the block is over."""
    found = [0.0]
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    yield found
    if device.type == "cuda":
        found[0] = torch.cuda.max_memory_allocated(device) / 1e9


def bare_rate(config: Resolved, device: torch.device) -> float:
    """Images a second of forward, backward and step on one batch, over half of the steps."""
    model = create_model(
        architecture_of(config), num_classes=CLASSES, drop_path=config.drop_path, seed=0
    ).to(device)
    optimizer = create_optimizer(config, model.train())
    count, side = config.global_batch_size, config.img_size
    images = torch.randn(count, 3, side, side, device=device)
    targets = F.one_hot(torch.arange(count, device=device) % CLASSES, CLASSES).float()
    dtype = getattr(torch, config.amp_dtype)
    began = 0.0
    for step in range(config.steps):
        if step == config.steps // 2:
            _wait(device)
            began = time.perf_counter()
        with torch.autocast(device.type, dtype=dtype, enabled=config.amp):
            loss = F.cross_entropy(model(images), targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    _wait(device)
    return (config.steps - config.steps // 2) * count / (time.perf_counter() - began)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def run_of(data: str, folder: Path, recipe: str, settings: dict[str, Any]) -> dict[str, float]:
    """The last line of the log of a run."""
    done = fdsl_train.pretrain(data, folder, recipe=recipe, **settings)
    return {name: values[-1] for name, values in done.metrics.items()}


@click.command()
@click.option("--steps", default=60, show_default=True, help="of a run; the second half counts")
@click.option("--workers", default="4,8,16", show_default=True, help="numbers of loader processes")
@click.option("--batch-size", default=256, show_default=True, help="images of a step")
@click.option("--models", default=",".join(RECIPES), show_default=True, help="of those in RECIPES")
@click.option("--img-size", default=224, show_default=True, help="side of the input")
@click.option("--categories", default=1000, show_default=True, help="images of fractal-1")
@click.option("--cpu", is_flag=True, help="try it where there is no GPU")
def main(
    steps: int,
    workers: str,
    batch_size: int,
    models: str,
    img_size: int,
    categories: int,
    cpu: bool,
) -> None:
    """Print the table of docs/benchmarks.md for the GPU of this machine."""
    logging.getLogger("fdsl_train").setLevel(logging.ERROR)
    shared: dict[str, Any] = {"device": "cpu" if cpu else "auto", "steps": steps}
    shared |= {"global_batch_size": batch_size, "log_every": steps - steps // 2, "log_to": []}
    shared |= {"warmup_steps": 1, "img_size": img_size, "grad_accum_steps": 1}
    with tempfile.TemporaryDirectory() as base:
        shards = f"{base}/shards"
        recipe = load_recipe("fractal-1", num_categories=categories, num_shards=16)
        generate(recipe, shards)
        places = {
            "shards": (shards, 0.0),
            "decoded copy": (shards, 64.0),
            "recipe:": (f"recipe:fractal-1?num_categories={categories}", 0.0),
        }
        first = True
        for model in models.split(","):
            settings = shared | {"model": model}
            config = load_config(RECIPES[model], "pretrain", settings).resolve(categories)
            device = choose_device(config)
            if first:
                click.echo(f"{card(device)}; batches of {batch_size}, {img_size} pixels\n")
                click.echo("| model | data | workers | images/s | of bare | data wait | GB | MFU |")
                click.echo("|---" * 8 + "|")
                first = False
            with peak_memory(device) as memory:
                bare = bare_rate(config, device)
            click.echo(f"| {model} | bare loop | | {bare:,.0f} | 1 | | {memory[0]:.1f} | |")
            for name, (data, room) in places.items():
                for count in map(int, workers.split(",")):
                    own = settings | {"workers": count, "decoded_cache": room}
                    folder = Path(base) / f"{model}-{name.replace(' ', '-').strip(':')}-{count}"
                    with peak_memory(device) as memory:
                        row = run_of(data, folder, RECIPES[model], own)
                    mfu = f"{100 * row['mfu']:.0f} %" if "mfu" in row else ""
                    click.echo(
                        f"| {model} | {name} | {count} | {row['images_per_s']:,.0f}"
                        f" | {row['images_per_s'] / bare:.2f} | {100 * row['data_wait']:.0f} %"
                        f" | {memory[0]:.1f} | {mfu} |"
                    )


if __name__ == "__main__":
    main()
