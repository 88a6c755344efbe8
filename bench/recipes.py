"""Images a second and core of training from recipes, beside the same sets from shards and beside
drawing and augmenting alone: ``python -m bench.recipes [RECIPE...]``.

Processor time is counted, as in ``bench.loader``. The three are measured in turn, so that a machine
that does other things as well favors none of them. Images of a set share no work, as those of a
shuffled batch hardly do.
"""

import multiprocessing
import re
import statistics
import tempfile
import warnings
from pathlib import Path
from typing import NamedTuple

import click
import torch

from bench.__main__ import machine
from bench.loader import Epoch, cpu_seconds, ours, through_loader
from fdsl_gen import Recipe, RecipeSplit, generate, load_recipe, prepare
from fdsl_gen.core.keys import Key
from fdsl_train.config import Resolved, load_config
from fdsl_train.data.sampler import Order
from fdsl_train.data.sources.base import Sample
from fdsl_train.data.sources.formula import FormulaSource
from fdsl_train.training.randomness import seed_cpu
from fdsl_train.transforms import train_transform
from fdsl_train.transforms.batch import collate

PUBLISHED = 2264  # images a second of one GPU whose images a renderer on the GPU draws on the fly


class Measured(NamedTuple):
    """Images per second of processor time, each the median of the runs."""

    drawn: float
    shards: float
    alone: float


def from_recipe(recipe: Recipe, config: Resolved, workers: int) -> Epoch:
    """Our loader on a recipe, up to float32 images."""
    source = FormulaSource(recipe.name, RecipeSplit(recipe), "train")
    return through_loader(source, config, workers)


def alone(recipe: Recipe, config: Resolved) -> Epoch:
    """The same images drawn and augmented in a plain loop."""
    split = RecipeSplit(recipe, cache=prepare(recipe))
    transform = train_transform(config)
    order = Order(split.shard_sizes, config.seed, config.global_batch_size)
    batches = [order.batch(b) for b in range(order.num_samples // config.global_batch_size)]

    def epoch() -> None:
        for batch in batches:
            drawn = []
            for place, sample in split.render([split.sample(at.shard, at.row) for at in batch]):
                seed_cpu(Key(config.seed, "augment", (batch[place].number,)))
                drawn.append(transform.apply(Sample(sample.image, sample.label)))
            labels = torch.tensor([one.label for one in drawn])
            assert transform.finish(collate(drawn, labels)).dtype == torch.float32

    return epoch


def measure(recipe: Recipe, folder: Path, config: Resolved, workers: int, runs: int) -> Measured:
    """Measure one set."""
    epochs = [
        from_recipe(recipe, config, workers),
        ours(folder, config, workers),
        alone(recipe, config),
    ]
    images = recipe.num_samples // config.global_batch_size * config.global_batch_size
    for epoch in epochs:
        epoch()  # compiles, starts workers, fills the page cache
    found: list[list[float]] = [[] for _ in epochs]
    for _ in range(runs):
        for epoch, own in zip(epochs, found, strict=True):
            began = cpu_seconds()
            epoch()
            own.append(images / (cpu_seconds() - began))
    return Measured(*map(statistics.median, found))


def memory_mb(recipe: Recipe, config: Resolved) -> tuple[float, float]:
    """Resident memory of a loader process on a recipe, and its share of it that is its own."""
    before = set(multiprocessing.active_children())
    epoch = from_recipe(recipe, config, 1)
    epoch()
    (worker,) = set(multiprocessing.active_children()) - before
    text = Path(f"/proc/{worker.pid}/smaps_rollup").read_text()
    kilobytes = {name: int(n) for name, n in re.findall(r"^(\w+):\s+(\d+) kB", text, re.M)}
    return kilobytes["Rss"] / 1e3, (kilobytes["Private_Clean"] + kilobytes["Private_Dirty"]) / 1e3


def bench_recipe(name: str, images: int) -> Recipe:
    """A set of so many images, of which each is work of its own."""
    each = 6 if load_recipe(name).variant.SEARCHED else 1  # few categories to search for
    return load_recipe(name, num_categories=images // each, num_instances=each, num_shards=8)


@click.command()
@click.argument("names", nargs=-1)
@click.option("--images", default=600, show_default=True, help="images of each set")
@click.option("--batch-size", default=100, show_default=True, help="a divisor of images")
@click.option("--runs", default=5, show_default=True, help="of which the median is taken")
@click.option("--recipe", default="one-instance-1k", show_default=True, help="augmentation")
def main(names: tuple[str, ...], images: int, batch_size: int, runs: int, recipe: str) -> None:
    """Measure training from RECIPES (default: fractal-1, visualatom-1k, exfractaldb-1k)."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    config = load_config(recipe, "pretrain", {"global_batch_size": batch_size}).resolve(images)
    click.echo(f"{machine()}, torch {torch.__version__}; {recipe}, batches of {batch_size}\n")
    click.echo(
        "| set | workers | from the recipe | from shards | of shards | drawn and augmented alone"
        f" | time over it | cores for {PUBLISHED:,}/s |"
    )
    click.echo("|---" * 8 + "|")
    memory = []
    with tempfile.TemporaryDirectory() as base:
        for name in names or ("fractal-1", "visualatom-1k", "exfractaldb-1k"):
            made = bench_recipe(name, images)
            prepare(made)
            generate(made, Path(base) / name, workers=1)
            for workers in (0, 1):
                found = measure(made, Path(base) / name, config, workers, runs)
                click.echo(
                    f"| {name} | {workers} | {found.drawn:,.0f} | {found.shards:,.0f}"
                    f" | {found.drawn / found.shards:.2f} | {found.alone:,.0f}"
                    f" | {100 * (found.alone / found.drawn - 1):+.0f} %"
                    f" | {PUBLISHED / found.drawn:.1f} |"
                )
            memory.append((name, *memory_mb(made, config)))
    click.echo("\n| set | memory of a loader process, MB | of it not shared |")
    click.echo("|---" * 3 + "|")
    for name, resident, own in memory:
        click.echo(f"| {name} | {resident:,.0f} | {own:,.0f} |")


if __name__ == "__main__":
    main()
