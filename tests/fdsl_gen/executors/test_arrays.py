"""Job arrays: whose share is what, and the same bytes as without an array."""

import os
import random
import subprocess
import sys

import pytest
from click.testing import CliRunner

from fdsl_gen import generate, load_recipe
from fdsl_gen.cli.main import cli
from fdsl_gen.core.errors import UsageError
from fdsl_gen.executors.job_array import SCHEDULERS, ArrayTask, resolve
from tests.conftest import SMALL, options
from tests.fdsl_gen.build.test_safety import everything, tars

SLURM = {"MIN": "0", "MAX": "7", "COUNT": "8", "STEP": "1"}


def slurm(number, **changes):
    array = {f"SLURM_ARRAY_TASK_{name}": value for name, value in (SLURM | changes).items()}
    return {"SLURM_ARRAY_TASK_ID": str(number), **array}


def sge(number, first=1, last=8, step=1):
    names = ("SGE_TASK_ID", "SGE_TASK_FIRST", "SGE_TASK_LAST", "SGE_TASK_STEPSIZE")
    return dict(zip(names, map(str, (number, first, last, step)), strict=True))


def lsf(number, last, step=1):
    names = ("LSB_JOBINDEX", "LSB_JOBINDEX_END", "LSB_JOBINDEX_STEP")
    return dict(zip(names, map(str, (number, last, step)), strict=True))


WHOLE = [
    (slurm(0), (0, 8)),
    (slurm(7), (7, 8)),
    (slurm(1, MIN="1", MAX="8"), (0, 8)),
    (slurm(8, MIN="1", MAX="8"), (7, 8)),
    (slurm(5, MIN="5", MAX="5", COUNT="1"), (0, 1)),
    (sge(1), (0, 8)),
    (sge(8), (7, 8)),
    (sge(4, first=3, last=7), (1, 5)),
    (lsf(1, 8), (0, 8)),
    (lsf(8, 8), (7, 8)),
    ({"AWS_BATCH_JOB_ARRAY_INDEX": "3", "AWS_BATCH_JOB_ARRAY_SIZE": "8"}, (3, 8)),
]
NO_ARRAY = [
    {},
    {"SLURM_JOB_ID": "77", "SLURM_PROCID": "0", "SLURM_CPUS_PER_TASK": "4"},
    {"SGE_TASK_ID": "undefined", "SGE_TASK_FIRST": "undefined", "SGE_TASK_LAST": "undefined"},
    {"LSB_JOBID": "77", "LSB_JOBINDEX": "0", "LSB_JOBINDEX_END": "0"},
    {"PBS_JOBID": "77"},
    {"AWS_BATCH_JOB_ID": "77"},
    {"PBS_ARRAY_INDEX": ""},
]
COUNT_UNKNOWN = [
    (slurm(3, MIN="3", COUNT="2"), 0),  # --array=3,7
    (slurm(4, MAX="4", COUNT="2", STEP="4"), 0),  # --array=0-7:4
    (slurm(4, MAX="1", COUNT="2", STEP="4"), 0),
    ({"SLURM_ARRAY_TASK_ID": "3"}, 0),
    (sge(4, first=2, step=2), 1),
    (lsf(3, 7, step=2), 1),
    ({"LSB_JOBINDEX": "3"}, 1),
    ({"PBS_ARRAY_INDEX": "3"}, 0),
    ({"PBS_ARRAYID": "3"}, 0),
    ({"JOB_COMPLETION_INDEX": "3"}, 0),
]


@pytest.mark.parametrize(("environment", "expected"), WHOLE)
def test_a_whole_array_is_understood(environment, expected):
    assert resolve(None, None, environment) == ArrayTask(*expected)
    assert resolve(0, None, environment) == ArrayTask(0, expected[1])
    assert resolve(11, 12, environment) == ArrayTask(11, 12)


@pytest.mark.parametrize("environment", NO_ARRAY)
def test_other_jobs_are_not_mistaken_for_arrays(environment):
    assert resolve(None, None, environment) is None
    assert resolve(1, 2, environment) == ArrayTask(1, 2)
    for half in ((1, None), (None, 2)):
        with pytest.raises(UsageError, match=r"^give both --task-index and --num-tasks, or nei"):
            resolve(*half, environment)


@pytest.mark.parametrize(("environment", "base"), COUNT_UNKNOWN)
def test_part_of_an_array_asks_for_the_number_of_tasks(environment, base):
    with pytest.raises(
        UsageError, match=rf"; give --num-tasks, with arrays that begin with {base}$"
    ):
        resolve(None, None, environment)
    number = int(next(environment[s.index] for s in SCHEDULERS if s.index in environment))
    assert resolve(None, 8, environment) == ArrayTask(number - base, 8)
    with pytest.raises(UsageError, match=rf"={number} is not in an array of {number - base} that"):
        resolve(None, number - base, environment)


@pytest.mark.parametrize(
    ("index", "count", "environment", "words"),
    [
        (8, 8, {}, r"at least 0 and below the number of tasks, 8, not 8"),
        (None, None, {"PBS_ARRAY_INDEX": "x"}, r"PBS_ARRAY_INDEX should be a number, not 'x'"),
        (None, None, slurm(1, MAX="-1"), r"SLURM_ARRAY_TASK_MAX should be a number, not '-1'"),
        (
            None,
            8,
            {"PBS_ARRAYID": "8"},
            r"PBS_ARRAYID=8 is not in an array of 8 that begins with 0",
        ),
        (None, 8, sge(0), r"SGE_TASK_ID=0 is not in an array of 8 that begins with 1"),
        (None, 8, slurm(1) | lsf(1, 8), r"SLURM_ARRAY_TASK_ID and LSB_JOBINDEX are both set; give"),
    ],
)
def test_what_cannot_be_is_one_sentence(index, count, environment, words):
    with pytest.raises(UsageError, match=words):
        resolve(index, count, environment)


@pytest.mark.parametrize(("items", "count"), [(0, 3), (1, 1), (8, 3), (8, 8), (5, 9), (4000, 256)])
def test_shares_are_a_partition(items, count):
    shares = [ArrayTask(index, count).of(range(items)) for index in range(count)]
    assert sorted(item for array_task in shares for item in array_task) == list(range(items))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def run(out, *args, **env):
    command = [sys.executable, "-m", "fdsl_gen.cli", *map(str, args), f"--out={out}"]
    return subprocess.Popen(
        command, env=os.environ | env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process, code=0):
    output, errors = process.communicate(timeout=240)
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    return output, errors


def here(*args, **env):
    """Run a command in this process, which has compiled its kernels."""
    return CliRunner().invoke(cli, [*map(str, args)], env=env, catch_exceptions=False)


def test_an_array_gives_the_same_bytes(small_folder, tmp_path):
    """Five tasks in random order, numbered from 1, one of them twice at the same time."""
    out = tmp_path / "out"
    command = ("fractal-1", "--workers=1", *options(SMALL))
    order = random.Random(3).sample(range(1, 6), 5)
    twin = run(out, *command, **slurm(order[-1], MIN="1", MAX="5", COUNT="5"))
    for number in order:
        done = here(*command, f"--out={out}", **slurm(number, MIN="1", MAX="5", COUNT="5"))
        mine = len(range(number - 1, 8, 5))
        first = f"task {number - 1} of 5 (counted from 0): {mine} of 8 shards"
        assert done.stderr.splitlines()[0] == first
        assert done.stdout.splitlines()[-1] == f"when all are there: fdsl-gen finalize {out}"
    _, errors = finish(twin)
    assert f"task {order[-1] - 1} of 5 " in errors
    assert f" is done; 0 shards of {out} are left for others" in done.stdout
    assert not (out / "manifest.json").exists()
    for _ in range(2):
        here("finalize", out)
        assert tars(out) == tars(small_folder)
        assert everything(out) == everything(small_folder)
        for name in ("manifest.json", "README.md", "_info.json", "preview.png"):
            assert (out / name).read_bytes() == (small_folder / name).read_bytes()


SEARCHED = {"image_size": 64, "num_points": 1500, "search_points": 2000, "search_size": 64}
SEARCHED |= {"filling_rate": 0.02, "num_categories": 250, "num_instances": 2, "num_shards": 4}


def test_categories_are_searched_as_an_array_and_not_by_every_task(tmp_path):
    out = tmp_path / "out"
    task = ("fractaldb-1k", f"--out={out}", "--workers=1", *options(SEARCHED))
    with pytest.raises(UsageError, match=r"every task of the array would search them") as refused:
        here(*task, "--task-index=0", "--num-tasks=2")
    search = str(refused.value).rpartition("run this before the array: ")[2].split()
    given = " ".join(option.replace("=", " ") for option in options(SEARCHED))
    assert sorted(search) == sorted(f"fdsl-gen categories fractaldb-1k --out {out} {given}".split())
    for number, left, categories in ((2, 2, 100), (1, 0, 150)):
        done = here(*search[1:], "--workers=1", **sge(number, last=2))
        assert done.stderr.splitlines() == [
            f"task {number - 1} of 2 (counted from 0)",
            f"searching {categories} categories",
        ]
        assert done.stdout == (
            f"task {number - 1} of 2 (counted from 0) is done;"
            f" {left} blocks of categories in {out} are left for others\n"
        )
    blocks = {p.name: p.read_bytes() for p in out.glob("__meta__/categories/block-*")}
    assert len(blocks) == 3
    for index in (1, 0):
        assert "searching" not in here(*task, f"--task-index={index}", "--num-tasks=2").stderr
    here("finalize", out)
    generate(load_recipe("fractaldb-1k", **SEARCHED), tmp_path / "serial", workers=1)
    assert tars(out) == tars(tmp_path / "serial")
    serial = tmp_path / "serial/__meta__/categories"
    assert blocks == {p.name: p.read_bytes() for p in serial.glob("block-*")}


def test_a_failed_task_says_how_to_run_it_again(tmp_path):
    """A strange file stands where a shard of this task belongs."""
    out = tmp_path / "out"
    (out / "__meta__").mkdir(parents=True)
    task = ("fractal-1", "--workers=1", *options(SMALL))
    finish(run(out, *task, "--task-index=1", "--num-tasks=8"))
    (out / "fractal-1-train-000004.tar").write_bytes(b"no tar")
    _, errors = finish(run(out, *task, **slurm(4)), code=3)
    assert "1 shards were not written (fractal-1-train-000004.tar)" in errors
    assert errors.endswith(f"--out={out} --task-index 4 --num-tasks 8\n")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--overwrite"], r"--overwrite in a task of a job array would delete"),
        (["--num-tasks=3"], r"SLURM_ARRAY_TASK_ID=3 is not in an array of 3 that begins with 0"),
        (["--executor=dask", "--num-tasks=8"], r"Dask and --task-index are two ways"),
    ],
)
def test_bad_tasks_are_refused(tmp_path, args, words):
    with pytest.raises(UsageError, match=words):
        here("fractal-1", f"--out={tmp_path / 'out'}", *args, **slurm(3))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--table=t.csv", "--out=set"], r"need all categories"),
        (["--picture=p.png", "--out=set"], r"need all categories"),
        ([], r"--out DIR"),
    ],
)
def test_a_share_of_categories_is_no_table(tmp_path, monkeypatch, args, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=words):
        here("categories", "fractaldb-1k", *args, **slurm(3))
    assert not list(tmp_path.iterdir())


def test_dask_workers_started_as_an_array_do_not_split_the_work(tmp_path):
    done = here("fractal-1", "--executor=dask", "--dry-run", **slurm(3))
    assert "task" not in done.output
    assert "task 3 of 8" in here("fractal-1", "--dry-run", **slurm(3)).output
