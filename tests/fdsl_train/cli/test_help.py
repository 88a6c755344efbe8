"""Help fits a screen and hides nothing, lists are aligned, shells complete names and options."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from fdsl_gen.cli.main import cli
from fdsl_train.cli.main import main
from fdsl_train.config import training_recipes
from tests import ROOT

NARROW, ROOMY = {"COLUMNS": "80"}, {"COLUMNS": "120"}


def page(group: click.Group, *words: str, **environment: str) -> list[str]:
    done = CliRunner().invoke(group, list(words), env=environment)
    assert done.exit_code == 0, done.output
    return done.output.splitlines()


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize(
    ("group", "name", "lines"),
    [
        (main, "pretrain", 50),
        (main, "finetune", 65),
        (main, "trial", 40),
        (main, "eval", 60),
        (cli, "fractal-1", 60),
    ],
)
def test_a_page_fits_its_screen(group: click.Group, name: str, lines: int, flag: str) -> None:
    short = page(group, name, flag, **NARROW)
    assert len(short) <= lines
    assert max(map(len, short)) <= 80
    assert max(map(len, page(group, name, flag, **ROOMY))) <= 120


@pytest.mark.parametrize(("group", "name"), [(main, "pretrain"), (cli, "fractal-1")])
def test_help_all_has_every_option(group: click.Group, name: str) -> None:
    context = click.Context(group, info_name="x")
    command = group.get_command(context, name)
    assert command is not None
    whole = "\n".join(page(group, name, "--help-all", **NARROW))
    for param in command.params:
        assert param.opts[0] in whole, param.name
    short = page(group, name, "-h", **NARROW)
    hidden = sum(getattr(param, "help_rare", False) for param in command.params)
    assert short[-1] == f"{hidden} more options: --help-all"


def test_headings_are_named() -> None:
    shown = page(main, "pretrain", "--help-all", **NARROW)
    found = [line for line in shown if line.endswith(":") and not line.startswith(" ")]
    assert found[:2] == ["Run:", "Data:"]
    assert {"Model:", "Length:", "Optimizer:", "Augmentation:", "Storage:"} <= set(found)


@pytest.mark.parametrize("group", [main, cli])
def test_lists_are_aligned_and_use_the_room(group: click.Group) -> None:
    narrow, roomy = (page(group, "list", **room) for room in (NARROW, ROOMY))
    assert max(map(len, narrow)) <= 80 and len(roomy) < len(narrow)
    if group is main:
        starts = {
            len(line) - len(line[line.index("  ") :].lstrip()) for line in narrow if line[0] != " "
        }
        assert len(starts) == 1


def test_a_training_recipe_is_shown() -> None:
    shown = CliRunner().invoke(main, ["show", "cpu-pretrain"])
    assert shown.output == (training_recipes() / "cpu-pretrain.yaml").read_text()
    refused = CliRunner().invoke(main, ["show", "cpu_pretrian"])
    assert refused.exit_code == 2 and "did you mean 'cpu-pretrain'?" in refused.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "typed", "wanted"),
    [
        ("fdsl-train", "pretrain --recipe cpu", "plain,cpu-pretrain"),
        ("fdsl-train", "tri", "plain,trial"),
        ("fdsl-gen", "fractal-1 --del", "plain,--delta"),
        ("fdsl-gen", "visual", "plain,visualatom-1k"),
        ("fdsl-gen", "show mandel", "plain,mandelbulb-1k"),
    ],
)
def test_shells_complete(program: str, typed: str, wanted: str, tmp_path: Path) -> None:
    words = [program, *typed.split()]
    variable = f"_{program.upper().replace('-', '_')}_COMPLETE"
    environment = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    module = program.replace("-", "_")
    script = f"import sys; sys.argv = [{program!r}]; from {module}.cli.__main__ import run; run()"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | environment | {variable: "bash_complete", "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert wanted in done.stdout.splitlines(), done.stderr
