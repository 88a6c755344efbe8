"""The command ``fdsl-train``: parses, calls one function, prints.

PyTorch and timm are imported inside the commands, so that help and lists come at once.
"""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import click

from fdsl_gen import __version__
from fdsl_gen.core import recipe_files, signals
from fdsl_gen.core.cli.help import (
    WIDEST,
    PagedCommand,
    RecipeName,
    SummedUp,
    in_group,
    write_table,
)
from fdsl_gen.core.cli.paths import PATH, is_bad_place
from fdsl_gen.core.errors import Exit, FdslError, Stopped, UsageError, visible
from fdsl_gen.core.extras import without_library
from fdsl_gen.core.settings import load_yaml
from fdsl_train.cli import AFTER_A_SIGNAL, NAME
from fdsl_train.cli.analysis import (
    WEIGHTS,
    attention,
    class_order_option,
    data_options,
    evaluate,
    knn,
    plot,
    weights_there,
)
from fdsl_train.cli.data_options import (
    check_pretrain_data,
    data_spec_from,
    data_specs_from,
    location_options,
    val_data_option,
)
from fdsl_train.cli.hub import push
from fdsl_train.cli.recipe_options import overrides_of, recipe_options
from fdsl_train.cli.trial import trial
from fdsl_train.config import load_config, training_recipes
from fdsl_train.distributed.launch import Process, find_process
from fdsl_train.training.trackers import check_installed


class _Commands(SummedUp):
    """Turns errors meant for the user into one sentence and an exit code."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        with signals.handled(NAME, AFTER_A_SIGNAL):
            return super().main(*args, **kwargs)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _told():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        _tell_the_user()
        with _told():
            result = super().invoke(ctx)
            signals.over()
            return result


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Turn what ends a command into a sentence and the end of click."""
    try:
        yield
    except (FdslError, OSError, EOFError, Stopped, KeyboardInterrupt) as error:
        signals.over()
        raise click.exceptions.Exit(_tell(error)) from None
    except ModuleNotFoundError as error:
        refusal = without_library(error)
        if refusal is None:
            raise
        signals.over()
        raise click.exceptions.Exit(_tell(refusal)) from None


def _tell(error: BaseException) -> int:
    """Say what ended the command; its exit code."""
    if isinstance(error, FdslError):
        _complain(str(error), all_ranks=error.all_ranks)
        return error.exit_code
    if isinstance(error, OSError):
        where = visible(f" {error.filename}") if error.filename else ""
        _complain(f"cannot use{where}: {error.strerror or error}", all_ranks=False)
        return Exit.USAGE if is_bad_place(error) else Exit.UNEXPECTED
    if isinstance(error, Stopped):
        _complain(str(error), all_ranks=True)
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        _complain(f"interrupted; {AFTER_A_SIGNAL}", all_ranks=True)
        return Exit.INTERRUPTED
    # An EOFError, which click would take for the user's Ctrl-D.
    raise RuntimeError("a file ended too early") from error


def _complain(sentence: str, *, all_ranks: bool) -> None:
    """One sentence on standard error; of what all processes meet, one tells for its machine."""
    try:
        process = find_process()
    except UsageError:
        process = Process()  # that its variables make no sense is the complaint
    if all_ranks and process.local_rank > 0:
        return
    which = f"[{process.rank}]" if process.world_size > 1 else ""
    click.echo(f"fdsl-train{which}: {sentence}", err=True)


class _Echo(logging.Handler):
    """Lines for the user on standard output."""

    def emit(self, record: logging.LogRecord) -> None:
        said = "\n".join(map(visible, self.format(record).split("\n")))
        click.echo(said, err=record.levelno >= logging.WARNING)


_ECHO = _Echo()


def _tell_the_user() -> None:
    """Show what the package logs; of a distributed run, what its first process does."""
    logger = logging.getLogger("fdsl_train")
    logger.addHandler(_ECHO)  # once, however often it is asked
    try:
        first = find_process().rank == 0
    except UsageError:
        first = True  # the command will complain of its variables
    logger.setLevel(logging.INFO if first else logging.WARNING)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDEST},
)
@click.version_option(__version__, prog_name="fdsl-train")
def main() -> None:
    """Pre-train vision models on images drawn from formulas, and fine-tune them."""


@main.command("list")
def list_recipes() -> None:
    """Training recipes, with a line on each."""
    paths = sorted(training_recipes().glob("*.yaml"))
    write_table([(path.stem, recipe_files.headline(path)) for path in paths])


@main.command()
@click.argument("recipe", type=RecipeName("train"))
def show(recipe: str) -> None:
    """Print a training recipe: the file, to copy and change."""
    file = recipe_files.find_recipe(recipe, training_recipes())
    load_yaml(file)
    click.echo(file.read_text(encoding="utf-8"), nl=False)


@main.command(cls=PagedCommand)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=PATH)
@click.option("--csv", "form", flag_value="csv", help="for spreadsheets")
@click.option("--latex", "form", flag_value="latex", help="for papers, with booktabs")
@click.option("--md", "form", flag_value="md", help="for web pages")
def table(runs: tuple[Path, ...], form: str | None) -> None:
    """Print what runs reached, in one table; runs that differ in the seed alone are one row.

    RUN is the output folder of a run. Several seeds are shown as mean and spread (standard
    deviation) of the last and of the best validation.
    """
    from fdsl_train.analysis.table import runs_table

    click.echo(runs_table(list(runs), form or "text"), nl=False)


_OUTPUT = click.option("--output", required=True, type=PATH, help="folder for the run")
_RESUME = click.option(
    "--resume", type=click.Choice(["auto"]), help="continue the run in --output, if there is one"
)


@main.command(cls=PagedCommand)
@click.option(
    "--recipe",
    type=RecipeName("train"),
    help="name (fdsl-train list) or path; default: the dataset's own",
)
@location_options(
    "folder of a dataset made by fdsl-gen or of WebDataset shards, 'DIR/train-{000..146}.tar',"
    " s3://BUCKET/PREFIX, https://..., hf://datasets/OWNER/NAME, recipe:NAME?setting=value;"
    " several are trained on together",
    several=True,
)
@val_data_option
@_OUTPUT
@_RESUME
@recipe_options
def pretrain(recipe: str | None, output: Path, resume: str | None, **values: Any) -> None:
    """Train a model from nothing on a dataset made by fdsl-gen, its recipe, or WebDataset shards.

    Every setting of the recipe can be overridden by its flag; `none` unsets those that may be.
    """
    settings = overrides_of(values)
    check_installed(settings.get("log_to"))
    config = None
    if recipe is not None:
        config = load_config(recipe, "pretrain", settings, find_process().world_size)
        settings = {}
    wheres = data_specs_from(values)
    for where in wheres:
        check_pretrain_data(where)
    from fdsl_train.training.pretrain import pretrain as start

    start(wheres, output, recipe=config, resume=resume is not None, **settings)


@main.command(cls=PagedCommand)
@click.option(
    "--checkpoint",
    type=WEIGHTS,
    help="a run, its last.pth.tar or export folder; a .pth or .safetensors file of others;"
    " hf://OWNER/NAME",
)
@click.option("--from-scratch", is_flag=True, help="instead: start --model from nothing")
@click.option("--keep-head", is_flag=True, help="keep the trained classifier; default: a new one")
@click.option("--keep-decoder", is_flag=True, help="segmentation: keep the trained decoder, too")
@class_order_option
@click.option("--use-ema", is_flag=True, help="start from the moving average in the checkpoint")
@click.option(
    "--recipe",
    default="finetune-small",
    show_default=True,
    type=RecipeName("train"),
    help="name or path",
)
@data_options
@val_data_option
@click.option(
    "--val-split",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="share to hold out where --data has no validation folder",
)
@_OUTPUT
@_RESUME
@recipe_options
def finetune(
    checkpoint: Path | str | None,
    from_scratch: bool,
    keep_head: bool,
    keep_decoder: bool,
    class_order: Literal["natural", "text"] | None,
    use_ema: bool,
    recipe: str,
    val_split: float | None,
    output: Path,
    resume: str | None,
    **values: Any,
) -> None:
    """Fine-tune a pre-trained model on images, with a new head.

    --data is a tree with train and val (or validation, test), each with a folder per class; a flat
    tree of classes with --val-split; a dataset made by fdsl-gen; WebDataset shards in a folder, a
    pattern, object storage, a web server or hf://datasets/OWNER/NAME; or torch/NAME or hfds/NAME, a
    dataset of torchvision or Hugging Face. --freeze backbone trains the head alone.

    --task segmentation takes images with masks instead: images/ and annotations/ (or masks/), the
    folders of Pascal VOC or Cityscapes, torch/voc_segmentation or torch/cityscapes.
    """
    if (checkpoint is None) != from_scratch:
        raise UsageError("give one of --checkpoint and --from-scratch")
    config = load_config(recipe, "finetune", overrides_of(values), find_process().world_size)
    check_installed(config.log_to)
    weights = None if checkpoint is None else weights_there(checkpoint)
    where = data_spec_from(values)
    from fdsl_train.training.finetune import finetune as start

    start(
        where,
        output,
        checkpoint=weights,
        recipe=config,
        keep_head=keep_head,
        keep_decoder=keep_decoder,
        use_ema=use_ema,
        class_order=class_order,
        val_split=val_split,
        resume=resume is not None,
    )


_COMMANDS: list[click.Command] = [trial, evaluate, knn, plot, attention, push]
for _command in _COMMANDS:
    main.add_command(_command)

_START = {"checkpoint", "from_scratch", "keep_head", "class_order", "use_ema"}
_DATA = {"val_data", "val_split", "data_dir", "download"}
for _command in (pretrain, finetune):
    for _name, _own in (
        ("run", {"recipe", "output", "resume"}),
        ("start", _START),
        ("data", _DATA),
    ):
        in_group(_name, [param for param in _command.params if param.name in _own])
