"""The page on reproducing papers: its commands exist, its hours are the arithmetic it claims."""

import dataclasses
import re
import shlex
from pathlib import Path

import click
import pytest

from fdsl_gen import load_recipe
from fdsl_gen.cli.main import cli as fdsl_gen
from fdsl_train.cli.main import main as fdsl_train
from fdsl_train.cli.recipe_options import overrides_of
from fdsl_train.config import TrainConfig, load_config
from tests import ROOT

PAGE = (ROOT / "docs" / "reproduce.md").read_text()
COMMANDS = re.findall(r"^fdsl-(?:gen|train) .*$", PAGE, re.MULTILINE)
RATE = 2500  # images a second


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_parse(line: str) -> None:
    program, name, *arguments = shlex.split(line)
    group = {"fdsl-gen": fdsl_gen, "fdsl-train": fdsl_train}[program]
    with click.Context(group) as context:
        command = group.get_command(context, name)
    assert command is not None
    with command.make_context(name, arguments) as parsed:
        settings = dict(parsed.params)
    if name in ("pretrain", "finetune"):
        known = {field.name for field in dataclasses.fields(TrainConfig)} | {"batch_size"}
        overrides = overrides_of({k: v for k, v in settings.items() if k in known})
        recipe = settings["recipe"]
        if recipe is None:  # that of the dataset to pre-train on
            (data,) = settings["data"]
            recipe = load_recipe(Path(data).name).train_recipe
        assert load_config(recipe, name, overrides).purpose == name


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 12


@pytest.mark.parametrize(
    ("recipe", "purpose", "samples", "where"),
    [
        ("one-instance-1k", "pretrain", 1000, "`one-instance-1k`"),
        ("visualatom-1k", "pretrain", 1_000_000, "pre-train | `visualatom-1k`"),
        ("finetune-small", "finetune", 50_000, "`finetune-small`: 1,000"),
    ],
)
def test_hours_are_images_by_the_stated_rate(
    recipe: str, purpose: str, samples: int, where: str
) -> None:
    config = load_config(recipe, purpose, {})  # type: ignore[arg-type]
    steps = config.steps or config.steps_for(config.epochs or 0, samples)
    images = steps * config.global_batch_size
    (row,) = (line for line in PAGE.splitlines() if line.startswith("|") and where in line)
    cells = [cell.strip() for cell in row.split("|")]
    assert cells[3] == f"{images / 1e6:.3g} million"
    assert cells[4] == f"{images / RATE / 3600:.1f}"
