"""Every command of docs/scale.md is one that can be typed."""

import itertools
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from distributed.cli import dask_scheduler, dask_worker

from fdsl_gen.cli.main import cli
from fdsl_gen.core import recipe_files

TEXT = (Path(__file__).parents[2] / "docs/scale.md").read_text()
BLOCKS = re.findall(r"```bash\n(.*?)```", TEXT, re.S)
STARTERS = {"exec", "srun"}
PROGRAMS = {"fdsl-gen", "dask"}
RECIPES = recipe_files.recipe_names(recipe_files.recipe_folder())


def commands(name):
    """Commands of a program, in scripts, in the Job and in the text."""
    lines = [line for block in BLOCKS for line in block.splitlines() if not line.startswith("#")]
    lines += re.findall(r"`(.*?)`", re.sub(r"```.*?```", "", TEXT, flags=re.S))
    job = yaml.safe_load(re.search(r"```yaml\n(.*?)```", TEXT, re.S)[1])
    lines.append(shlex.join(job["spec"]["template"]["spec"]["containers"][0]["command"]))
    found = []
    for line in lines:
        words = shlex.split(line.removesuffix("&"))
        if words[:1] and words[0] in STARTERS:
            words = list(itertools.dropwhile(lambda w: w not in PROGRAMS, words))
        if words[:1] == [name]:
            found.append(words[1:])
    return found


@pytest.mark.parametrize("script", BLOCKS)
def test_scripts_are_bash(script):
    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_commands_are_found():
    first = [words[0] for words in commands("fdsl-gen")]
    assert {"categories", "finalize", "verify", "status", "exfractaldb-21k", "rcdb-21k"} <= set(
        first
    )
    assert len(first) >= 12
    assert len(commands("dask")) >= 5


@pytest.mark.parametrize("words", commands("fdsl-gen"), ids=shlex.join)
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


@pytest.mark.parametrize("words", commands("dask"), ids=shlex.join)
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
