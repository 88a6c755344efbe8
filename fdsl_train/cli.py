"""The command ``fdsl-train``: parses, calls one function, prints.

PyTorch and timm are imported inside the commands, so that help and lists come at once.
"""

from pathlib import Path
from typing import Any

import click

from fdsl_gen.errors import Exit, FdslError
from fdsl_train import __version__
from fdsl_train.config import describe_recipes
from fdsl_train.options import overrides_of, recipe_options


class _Commands(click.Group):
    """Turns errors meant for the user into one sentence and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except FdslError as error:
            click.echo(f"fdsl-train: {error}", err=True)
            ctx.exit(int(error.exit_code))
        except OSError as error:
            where = f" {error.filename}" if error.filename else ""
            click.echo(f"fdsl-train: cannot use{where}: {error.strerror or error}", err=True)
            ctx.exit(int(Exit.UNEXPECTED))
        except KeyboardInterrupt:
            click.echo("fdsl-train: interrupted; --resume auto continues the run", err=True)
            ctx.exit(int(Exit.INTERRUPTED))


@click.group(cls=_Commands, context_settings={"max_content_width": 100})
@click.version_option(__version__, prog_name="fdsl-train")
def main() -> None:
    """Pre-train vision models on images drawn from formulas, and fine-tune them."""


@main.command("list")
def list_recipes() -> None:
    """Training recipes, with a line on each."""
    for name, description in describe_recipes():
        click.echo(f"{name:18}  {description}")


_DATA = click.option(
    "--data", required=True, type=click.Path(path_type=Path), help="folder of the images"
)
_OUTPUT = click.option(
    "--output", required=True, type=click.Path(path_type=Path), help="folder for the run"
)
_RESUME = click.option(
    "--resume", type=click.Choice(["auto"]), help="continue the run in --output, if there is one"
)


@main.command()
@click.option("--recipe", help="name (fdsl-train list) or path; default: the dataset's own")
@_DATA
@_OUTPUT
@_RESUME
@recipe_options
def pretrain(
    recipe: str | None, data: Path, output: Path, resume: str | None, **settings: Any
) -> None:
    """Train a model from nothing on a dataset made by fdsl-gen.

    Every setting of the recipe can be overridden by its flag; `none` unsets those that may be.
    """
    overrides = overrides_of(settings)
    from fdsl_train.pretrain import pretrain as start

    start(
        recipe=recipe,
        data=data,
        output=output,
        resume=resume is not None,
        overrides=overrides,
        say=click.echo,
    )


@main.command()
@click.option(
    "--checkpoint",
    required=True,
    type=click.Path(path_type=Path),
    help="last.pth.tar of a run, or its export folder",
)
@click.option("--recipe", default="finetune_small", show_default=True, help="name or path")
@_DATA
@click.option(
    "--val-split",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="share to hold out where --data has no validation folder",
)
@_OUTPUT
@_RESUME
@recipe_options
def finetune(
    checkpoint: Path,
    recipe: str,
    data: Path,
    val_split: float | None,
    output: Path,
    resume: str | None,
    **settings: Any,
) -> None:
    """Fine-tune a pre-trained model on folders of images, with a new head.

    --data is a tree with train and val (or validation, test), each with a folder per class; a flat
    tree of classes with --val-split; or a dataset made by fdsl-gen.
    """
    overrides = overrides_of(settings)
    from fdsl_train.finetune import finetune as start

    start(
        recipe=recipe,
        start=checkpoint,
        data=data,
        val_split=val_split,
        output=output,
        resume=resume is not None,
        overrides=overrides,
        say=click.echo,
    )


if __name__ == "__main__":
    main()
