"""The command that sends a run to the Hugging Face Hub."""

from pathlib import Path

import click

from fdsl_gen.core.cli.paths import PATH


@click.command()
@click.argument("run", type=PATH)
@click.argument("url")
@click.option("--license", help="of the weights, such as mit; default: that of the datasets")
@click.option("--private", is_flag=True, help="a new repository is visible to its owner alone")
def push(run: Path, url: str, license: str | None, private: bool) -> None:
    """Send a finished RUN to hf://OWNER/NAME: weights, timm's configuration, recipes and a card.

    The account is that of hf auth login or HF_TOKEN.
    """
    from fdsl_train.models.hub import parse_model_url

    parse_model_url(url)
    from fdsl_train.publish import push as send

    place = send(run, url, license=license, private=private)
    click.echo(f"{place} is complete: fdsl-train finetune --checkpoint {place} ...")
