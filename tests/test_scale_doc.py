"""Every command of docs/scale.md is one that can be typed."""

import re
import shlex
import subprocess

import pytest
import yaml
from click.testing import CliRunner
from distributed.cli import dask_scheduler, dask_worker

from fdsl_gen.cli.main import cli
from fdsl_gen.core import recipe_files
from tests import ROOT
from tests.documents import blocks, commands, commands_in, mentions

FILE = ROOT / "docs/scale.md"
TEXT = FILE.read_text()
SCRIPTS = [block.text for block in blocks(FILE) if block.language == "bash"]
RECIPES = recipe_files.recipe_names(recipe_files.recipe_folder())


def calls(program):
    """Of a program, in scripts, in the prose and in the Job."""
    (block,) = (block for block in blocks(FILE) if block.language == "yaml")
    pod = yaml.safe_load(block.text)["spec"]["template"]["spec"]
    script = shlex.join(pod["containers"][0]["command"])
    found = commands(FILE, program) + mentions(FILE, program) + commands_in(script, program)
    return [words for words in found if words]


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_bash(script):
    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_commands_are_found():
    first = [words[0] for words in calls("fdsl-gen")]
    assert {"categories", "finalize", "verify", "status", "exfractaldb-21k", "rcdb-21k"} <= set(
        first
    )
    assert len(first) >= 12
    assert len(calls("dask")) >= 5


@pytest.mark.parametrize("words", calls("fdsl-gen"), ids=shlex.join)
def test_commands_of_fdsl_gen_parse(words, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    words = ["fractal-1" if word == "NAME" else word for word in words]
    if "--num-tasks" in words:
        monkeypatch.setenv("PBS_ARRAY_INDEX", "31")
    last = "--dry-run" if words[0] in RECIPES else "--help"
    done = CliRunner().invoke(cli, [*words, last])
    assert done.exit_code == 0, done.output
    assert ("task 31 of 32" in done.output) == ("--num-tasks" in words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", calls("dask"), ids=shlex.join)
def test_commands_of_dask_parse(words):
    main = {"scheduler": dask_scheduler.main, "worker": dask_worker.main}[words[0]]
    done = CliRunner().invoke(main, [*words[1:], "--help"])
    assert done.exit_code == 0, done.output


def test_the_table_names_recipes_with_their_shards():
    rows = re.findall(r"^\| (\S+) \| ([\d,]+) \| ([\d,]+) \|", TEXT, re.M)
    assert len(rows) == 8
    for name, images, shards in rows:
        done = CliRunner().invoke(cli, [name, "--dry-run"])
        assert f"{name}: {images} images" in done.output
        assert f" {shards} shards" in done.output
