"""Images a second and core of our loader and of timm's on the same shards, with the same
augmentation: ``python -m bench.loader [RECIPE...] [--data FOLDER]``.

Processor time is counted, of this process and its workers, not time on the clock: on a machine that
does other things as well the former still compares. timm is measured twice: making the same
float32 batches as ours, and making the uint8 RGB batches that its prefetcher takes to a GPU, which
leaves normalization and erasing (and the time for them) to it; ours always includes them.
"""

import multiprocessing
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import click
import torch
from timm.data import create_dataset, create_loader

from bench.__main__ import machine
from fdsl_gen import generate, load_recipe
from fdsl_gen.core.keys import Key
from fdsl_train.config import Resolved, load_config
from fdsl_train.data.loader import Loader
from fdsl_train.data.sampler import Order
from fdsl_train.data.sources.base import Source
from fdsl_train.data.sources.shards import open_split, read_dataset
from fdsl_train.training.randomness import seed_cpu
from fdsl_train.transforms import train_transform
from fdsl_train.transforms.batch import AugmentedSample, collate, to_float

RUNS = 5
STAGES = ("read+decode", "seed", "crop+flip", "RandAugment", "erasing", "collate", "to float")

Epoch = Callable[[], None]  # reads every image once


def ours(folder: Path, config: Resolved, workers: int) -> Epoch:
    """Our loader, up to float32 images."""
    return through_loader(open_split(folder, read_dataset(folder), "train"), config, workers)


def through_loader(source: Source, config: Resolved, workers: int) -> Epoch:
    """Every whole batch of a source through our loader."""
    batches = sum(source.shard_sizes) // config.global_batch_size
    loader = Loader(
        source,
        Order(source.shard_sizes, config.seed, config.global_batch_size),
        train_transform(config),
        seed=config.seed,
        batches=range(batches),
        workers=workers,
    )

    def epoch() -> None:
        for batch in loader:
            assert batch.images.dtype == torch.float32

    return epoch


def timms(folder: Path, config: Resolved, workers: int, *, to_gpu: bool) -> Epoch:
    """timm's wds reader, up to float32 images or (``to_gpu``) to what a worker sends to a GPU."""
    size = config.global_batch_size
    dataset = create_dataset(
        "wds/", root=str(folder), split="train", is_training=True, batch_size=size
    )
    loader = create_loader(
        dataset,
        config.img_size,
        size,
        is_training=True,
        scale=config.scale,
        ratio=config.ratio,
        hflip=config.hflip,
        vflip=config.vflip,
        color_jitter=None,
        auto_augment=config.aa,
        interpolation=config.interpolation,
        mean=config.mean,
        std=config.std,
        re_prob=config.reprob,
        re_mode=config.remode,
        num_workers=workers,
        use_prefetcher=to_gpu,
        device=torch.device("cpu"),
    )
    batches = loader.loader if to_gpu else loader

    def epoch() -> None:
        for images, _ in batches:
            assert images.dtype == (torch.uint8 if to_gpu else torch.float32)

    return epoch


def cpu_seconds() -> float:
    """Processor time of this process and its workers so far."""
    spent = time.process_time()
    for child in multiprocessing.active_children():
        fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
        spent += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return spent


def rates(folder: Path, config: Resolved, workers: int, images: int) -> list[float]:
    """Images per second of processor time: ours, timm's, timm's for a GPU; medians."""
    epochs = [
        ours(folder, config, workers),
        timms(folder, config, workers, to_gpu=False),
        timms(folder, config, workers, to_gpu=True),
    ]
    for epoch in epochs:
        epoch()  # compiles, starts workers, fills the page cache
    found: list[list[float]] = [[] for _ in epochs]
    for _ in range(RUNS):
        for epoch, own in zip(epochs, found, strict=True):
            began = cpu_seconds()
            epoch()
            own.append(images / (cpu_seconds() - began))
    return [statistics.median(own) for own in found]


def stages(folder: Path, config: Resolved, count: int) -> dict[str, float]:
    """Milliseconds of processor time an image, by stage of ours; medians."""
    source = open_split(folder, read_dataset(folder), "train")
    transform = train_transform(config)
    places = [(s, row) for s, size in enumerate(source.shard_sizes) for row in range(size)][:count]
    labels = torch.zeros(config.global_batch_size)
    runs: list[dict[str, float]] = []
    for _ in range(RUNS):
        spent: dict[str, float] = dict.fromkeys(STAGES, 0.0)
        for start in range(0, len(places), config.global_batch_size):
            drawn, clock = [], Clock(spent)
            for number, (shard, row) in enumerate(places[start : start + config.global_batch_size]):
                sample = source.read_sample(shard, row)
                clock.note("read+decode")
                seed_cpu(Key(config.seed, "augment", (start + number,)))
                clock.note("seed")
                seen = transform.gray.crop(sample.image)
                clock.note("crop+flip")
                pixels = torch.from_numpy(transform.gray.augment(seen))[None]
                clock.note("RandAugment")
                drawn.append(AugmentedSample(pixels, 0, transform.erasing()))
                clock.note("erasing")
            batch = collate(drawn, labels)
            clock.note("collate")
            to_float(batch, config.mean, config.std)
            clock.note("to float")
        runs.append(spent)
    return {
        name: 1e3 * statistics.median(run[name] for run in runs) / len(places) for name in STAGES
    }


class Clock:
    """Adds the processor time since its last note to a stage."""

    def __init__(self, spent: dict[str, float]) -> None:
        self._spent = spent
        self._last = time.process_time()

    def note(self, stage: str) -> None:
        """What has passed was for ``stage``."""
        now = time.process_time()
        self._spent[stage] += now - self._last
        self._last = now


def measure(folder: Path, config: Resolved, images: int) -> None:
    """Print the rows of one dataset."""
    for workers in (0, 1):
        own, timm, to_gpu = rates(folder, config, workers, images)
        click.echo(
            f"| {folder.name} | {workers} | {own:,.0f} | {timm:,.0f} | {own / timm:.2f}"
            f" | {to_gpu:,.0f} | {own / to_gpu:.2f} |"
        )


@click.command()
@click.argument("names", nargs=-1)
@click.option("--data", multiple=True, type=click.Path(path_type=Path, exists=True))
@click.option("--images", default=600, show_default=True, help="images of each set")
@click.option("--batch-size", default=100, show_default=True, help="a divisor of images")
@click.option("--recipe", default="one-instance-1k", show_default=True, help="augmentation")
def main(
    names: tuple[str, ...], data: tuple[Path, ...], images: int, batch_size: int, recipe: str
) -> None:
    """Measure loading of RECIPES (default: fractal-1 and visualatom-1k) or of made folders."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    settings = load_config(recipe, "pretrain", {"global_batch_size": batch_size})
    with tempfile.TemporaryDirectory() as base:
        folders = list(data)
        if not folders:
            for name in names or ("fractal-1", "visualatom-1k"):
                folders.append(Path(base) / name)
                made = load_recipe(name, num_categories=images, num_instances=1, num_shards=8)
                generate(made, folders[-1], workers=1)
        click.echo(f"{machine()}, torch {torch.__version__}; {recipe}, batches of {batch_size}\n")
        click.echo("| set | workers | ours | timm | ratio | timm for a GPU | ratio |")
        click.echo("|---" * 7 + "|")
        for folder in folders:
            count = sum(open_split(folder, read_dataset(folder), "train").shard_sizes)
            measure(folder, settings.resolve(count), count // batch_size * batch_size)
        click.echo(f"\n| set | {' | '.join(STAGES)} | ms an image |")
        click.echo("|---" * (len(STAGES) + 2) + "|")
        for folder in folders:
            spent = stages(folder, settings.resolve(images), images)
            cells = " | ".join(f"{spent[stage]:.3f}" for stage in STAGES)
            click.echo(f"| {folder.name} | {cells} | {sum(spent.values()):.2f} |")


if __name__ == "__main__":
    main()
