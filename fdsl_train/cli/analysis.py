"""The commands of ``fdsl-train`` that look at what was trained: eval, knn, plot, attention."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from fdsl_gen.core.cli.help import PagedCommand, in_group
from fdsl_gen.core.cli.paths import FILE, PATH
from fdsl_train.cli.data_options import data_spec_from, location_options, val_data_option
from fdsl_train.models.hub import local_weights, parse_model_url

F = TypeVar("F", bound=Callable[..., Any])


def data_options(command: F) -> F:
    """Decorate a command with the flags that say where images are."""
    for option in (
        click.option("--download", is_flag=True, help="let torchvision fetch a named dataset"),
        click.option("--data-dir", type=PATH, help="folder of the files of a named dataset"),
        location_options(
            "folder of images or shards, 'DIR/val-{000..146}.tar', s3://BUCKET/PREFIX, https://...,"
            " hf://datasets/OWNER/NAME, recipe:NAME?setting=value, torch/NAME, hfds/NAME"
        ),
    ):
        command = option(command)
    return command


def class_order_option(command: F) -> F:
    """Decorate a command with the flag that says what the outputs of a nameless head mean."""
    option = click.option(
        "--class-order",
        type=click.Choice(["natural", "text"]),
        help="of a file of others that does not name its classes: timm's 1 2 10, or 1 10 2",
    )
    return option(command)


class _Weights(click.ParamType):  # type: ignore[type-arg]  # generic in new versions of click only
    """Where weights are: a path, or a model of the Hub."""

    name = PATH.name

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path | str:
        if isinstance(value, str) and value.startswith("hf:"):
            parse_model_url(value)
            return value
        path: Path = PATH.convert(value, param, ctx)
        return path


WEIGHTS = _Weights()


def weights_there(place: Path | str) -> Path:
    """Where there is something to read weights from, told before PyTorch is imported.

    Raises:
        UsageError: if there is not.
    """
    from fdsl_train.models.weight_files import check_regular

    found = local_weights(place)
    if not os.path.isdir(found):
        check_regular(found)
    return found


def _checkpoint_options(command: F) -> F:
    """Decorate a command with the flags that say which model looks, and how."""
    for option in (
        click.option(
            "--device",
            type=click.Choice(["auto", "cpu"]),
            default="auto",
            show_default=True,
            help="auto: a GPU if there is one",
        ),
        click.option("--img-size", type=click.IntRange(1), help="side of the input, pixels"),
        click.option("--model", help="timm's name, for files of others that do not say it"),
        click.option("--use-ema", is_flag=True, help="take the moving average in the checkpoint"),
        click.argument("checkpoint", metavar="CKPT", type=WEIGHTS),
    ):
        command = option(command)
    return command


def _batch_options(command: F) -> F:
    for option in (
        click.option(
            "--workers",
            type=click.IntRange(0),
            help="loader processes; default: one for each CPU granted, 16 at most",
        ),
        click.option(
            "--batch-size",
            type=click.IntRange(1),
            default=128,
            show_default=True,
            help="images at a time",
        ),
    ):
        command = option(command)
    return command


@click.command("eval", cls=PagedCommand)
@_checkpoint_options
@data_options
@click.option(
    "--split", help="such as test; default: the part to validate on, or what a run held out"
)
@class_order_option
@click.option("--report", type=FILE, help="write a row per class to this CSV file")
@click.option("--confusion", type=FILE, help="draw which classes are taken for which, to a PNG")
@click.option(
    "--corrupt",
    metavar="NAME[:1-5]|all",
    help="measure under corruptions of ImageNet-C, too: fog, fog:3, fog:1-3, fog,snow or all",
)
@click.option("--corrupt-report", type=FILE, help="write a row per corruption to this CSV file")
@click.option("--corrupt-plot", type=FILE, help="draw errors over severities, to a PNG")
@click.option("--overlay", type=PATH, help="masks: draw images, truth, prediction into this folder")
@click.option("--reduce-zero-label", is_flag=True, help="masks: 0 is no class, 1 the first one")
@_batch_options
def evaluate(
    split: str | None,
    class_order: Literal["natural", "text"] | None,
    report: Path | None,
    confusion: Path | None,
    corrupt: str | None,
    corrupt_report: Path | None,
    corrupt_plot: Path | None,
    overlay: Path | None,
    reduce_zero_label: bool,
    batch_size: int,
    workers: int | None,
    **values: Any,
) -> None:
    """Measure top-1, top-5 and calibration of a trained model on images, or mean IoU on masks.

    CKPT is a run of fdsl-train, one of its checkpoints or its export folder, a file of others, or
    hf://OWNER/NAME.
    """
    values["checkpoint"] = weights_there(values["checkpoint"])
    where = data_spec_from(values)
    from fdsl_train.analysis.evaluate import evaluate as start

    start(
        data=where,
        split=split,
        class_order=class_order,
        report=report,
        confusion=confusion,
        corrupt=corrupt,
        corrupt_report=corrupt_report,
        corrupt_plot=corrupt_plot,
        overlay=overlay,
        reduce_zero_label=reduce_zero_label,
        batch_size=batch_size,
        workers=workers,
        **values,
    )


@click.command(cls=PagedCommand)
@_checkpoint_options
@data_options
@val_data_option
@click.option(
    "--val-split",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="share to hold out where --data has no validation part",
)
@click.option("--seed", type=click.IntRange(0), default=0, help="chooses what is held out")
@click.option("--k", type=click.IntRange(1), default=20, show_default=True, help="neighbors")
@click.option(
    "--temperature",
    type=click.FloatRange(0, min_open=True),
    default=0.07,
    show_default=True,
    help="of the weight exp(cosine / temperature) of a neighbor's vote",
)
@_batch_options
def knn(
    val_split: float | None,
    seed: int,
    k: int,
    temperature: float,
    batch_size: int,
    workers: int | None,
    **values: Any,
) -> None:
    """Classify by the nearest training images in the features of a model; nothing is trained.

    The head is not used, so a model straight from pre-training will do.
    """
    values["checkpoint"] = weights_there(values["checkpoint"])
    where = data_spec_from(values)
    from fdsl_train.analysis.knn import knn as start

    start(
        data=where,
        val_split=val_split,
        seed=seed,
        k=k,
        temperature=temperature,
        batch_size=batch_size,
        workers=workers,
        **values,
    )


@click.command(cls=PagedCommand)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=PATH)
@click.option(
    "--out", type=FILE, help="PNG, PDF or SVG; default: plot.png, in the run if there is one"
)
def plot(runs: tuple[Path, ...], out: Path | None) -> None:
    """Draw loss, learning rate and accuracy of one or several runs into one picture."""
    from fdsl_train.analysis.plot import plot as start

    start(list(runs), out)


@click.command(cls=PagedCommand)
@_checkpoint_options
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=PATH)
@click.option(
    "--out",
    type=PATH,
    default=Path("attention"),
    show_default=True,
    help="folder for NAME.png of each image, or a file for a single one",
)
@click.option("--block", default=-1, show_default=True, help="which block; negative: from the end")
@click.option("--rollout", is_flag=True, help="follow attention through all blocks up to that one")
def attention(images: tuple[Path, ...], out: Path, block: int, rollout: bool, **which: Any) -> None:
    """Draw where the class token of a vision transformer looks, head by head.

    CKPT is as in eval, and the head is not used.
    """
    which["checkpoint"] = weights_there(which["checkpoint"])
    from fdsl_train.analysis.attention import draw_attention
    from fdsl_train.analysis.inference import Inference

    draw_attention(
        Inference(batch_size=len(images), **which),
        list(images),
        out,
        block=block,
        rollout=rollout,
    )


_GROUPS = {
    "model": ("use_ema", "model", "img_size", "device", "class_order", "block", "rollout"),
    "data": ("data_dir", "download", "split", "val_split", "seed", "reduce_zero_label"),
    "output": ("report", "confusion", "overlay", "out"),
    "corruptions": ("corrupt", "corrupt_report", "corrupt_plot"),
    "neighbors": ("k", "temperature"),
    "machine": ("batch_size", "workers"),
}
for _command in (evaluate, knn, attention):
    for _name, _members in _GROUPS.items():
        in_group(_name, [param for param in _command.params if param.name in _members])
