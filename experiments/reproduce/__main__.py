"""Reproduce a row: ``python -m experiments.reproduce ROW``; without a row, list them."""

import logging
import sys
import time
from pathlib import Path

import click

from experiments.reproduce.rows import (
    CIFAR100,
    FINETUNE,
    PaperRow,
    dataset_of,
    find_row,
    finetuning_settings,
    pretraining_settings,
    read_rows,
)
from fdsl_gen import Recipe
from fdsl_gen.archive.paths import MANIFEST
from fdsl_gen.core import signals
from fdsl_gen.core.errors import Exit, FdslError, Stopped, UsageError
from fdsl_gen.storage import local
from fdsl_train.distributed.launch import Process, find_process

_HINT = "the same command goes on from there"


def reproduce(
    name: str, row: PaperRow, work: Path, data: str, data_dir: Path, scale: float
) -> list[str]:
    """Do the stages of a row that are not done yet; lines with what came of it.

    Args:
        name, row: which.
        work: folder of dataset and runs.
        data: images to fine-tune on: a folder with parts to train and validate on, or a name.
        data_dir: folder of the files of a named dataset, which are fetched if they are missing.
        scale: 1 for the row itself.

    Raises:
        UsageError: for what is seen before the first stage, such as data that is not at hand.
        FdslError: if a stage fails.
    """
    from fdsl_train.config import load_config
    from fdsl_train.data.open import DataSpec, data_spec, open_train_val
    from fdsl_train.data.sources.base import num_samples
    from fdsl_train.distributed.device import choose_device
    from fdsl_train.training.finetune import finetune
    from fdsl_train.training.pretrain import pretrain

    process = find_process()
    where = data_spec(data)
    if where.named is not None:
        where = DataSpec(place=where.place, data_dir=data_dir, download=process.world_size == 1)
    try:
        sources = open_train_val(where, val_split=None, seed=0)
    except UsageError as error:
        raise UsageError(
            f"{error}; the row ends with fine-tuning on these images, so have them first: --data"
            " FOLDER with train/CLASS/* and test/CLASS/*, or --data-dir where the files of a named"
            " set are"
        ) from None
    tuned = finetuning_settings(row, scale, process.world_size, num_samples(sources.train))
    choose_device(load_config(FINETUNE, "finetune", tuned, process.world_size), process.local_rank)
    checkpoint = None
    if row.dataset is not None:
        recipe = dataset_of(row, scale)
        dataset = work / recipe.name
        _say(process, f"stage 1 of 3, render {recipe.num_samples:,} images: {dataset}")
        _render(recipe, dataset, process)
        _say(process, f"stage 2 of 3, pre-train: {work / 'pretrain'}")
        told = pretraining_settings(row, scale, process.world_size)
        checkpoint = pretrain(dataset, work / "pretrain", resume=True, **told).export
    _say(process, f"stage 3 of 3, fine-tune on {data}: {work / 'finetune'}")
    result = finetune(
        where,
        work / "finetune",
        checkpoint=checkpoint,
        recipe=FINETUNE,
        resume=True,
        **tuned,
    )
    best, last = result.best["val_top1"], result.last["val_top1"]
    lines = [
        f"{name}: top-1 accuracy on {result.label} of {data}, percent",
        f"  published   {row.published} ({row.paper})",
        f"  measured    {best:.1f} best, chosen by {result.label}; {last:.1f} last",
    ]
    if scale != 1 or data != CIFAR100:
        lines.append("  not the row itself: other data or another scale, so figures do not compare")
    return lines


def _render(recipe: Recipe, out: Path, process: Process) -> None:
    """Make the dataset, once for all processes."""
    from fdsl_gen import generate

    if process.rank == 0:
        if not (out / MANIFEST).exists():
            generate(recipe, out)
        return
    while not (out / MANIFEST).exists():  # the launcher ends this one if the first fails
        time.sleep(1)


def _say(process: Process, line: str) -> None:
    if process.rank == 0:
        click.echo(line)


@click.command()
@click.argument("name", metavar="ROW", required=False)
@click.option("--work", type=click.Path(path_type=Path), help="folder  [default: runs/ROW]")
@click.option("--data", default=CIFAR100, show_default=True, help="to fine-tune on; or a folder")
@click.option(
    "--data-dir",
    default=Path("data"),
    show_default=True,
    type=click.Path(path_type=Path),
    help="where a named set is, or is fetched to",
)
@click.option(
    "--scale",
    default=1.0,
    show_default=True,
    type=click.FloatRange(min=0, max=1, min_open=True),
    help="share of the steps; below 0.01 of a tiny model on the CPU",
)
def main(name: str | None, work: Path | None, data: str, data_dir: Path, scale: float) -> None:
    """Render, pre-train, fine-tune; ends with the published figure beside the measured one."""
    if name is None:
        for known, row in read_rows().items():
            click.echo(f"{known:<24} {row.published:>12} %  {row.paper}")
        return
    _tell_the_user()
    folder = work or Path("runs") / (name if scale == 1 else f"{name}-{scale:g}")
    try:
        lines = reproduce(name, find_row(name), folder, data, data_dir, scale)
        if find_process().rank == 0:
            local.write(folder / "result.txt", ("\n".join(lines) + "\n").encode())
            click.echo("\n".join(lines))
        signals.over()
    except (FdslError, Stopped) as error:
        signals.over()
        click.echo(f"reproduce: {error}", err=True)
        sys.exit(int(error.exit_code))
    except KeyboardInterrupt:
        signals.over()
        click.echo(f"reproduce: interrupted; {_HINT}", err=True)
        sys.exit(int(Exit.INTERRUPTED))


def _tell_the_user() -> None:
    """Show what the trainer logs in the first process."""
    logger = logging.getLogger("fdsl_train")
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("  %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO if find_process().rank == 0 else logging.WARNING)


if __name__ == "__main__":
    signals.run("reproduce", _HINT, lambda: main)
