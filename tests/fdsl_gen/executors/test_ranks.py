"""Ranks of mpirun and srun: whose share is what, and the same bytes as by one process."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fdsl_gen.core import cpus, slurm
from fdsl_gen.core.errors import UsageError
from fdsl_gen.executors.job_array import ArrayTask, resolve
from fdsl_gen.executors.ranks import find_ranks
from tests.conftest import SMALL, options
from tests.fdsl_gen.build.test_safety import everything, tars
from tests.fdsl_gen.executors.test_arrays import here
from tests.fdsl_gen.executors.test_arrays import slurm as array

OWN = str(os.getpid())


def openmpi(rank, size, here=None):
    names = {"RANK": rank, "SIZE": size, "LOCAL_RANK": rank, "LOCAL_SIZE": here or size}
    ours = {f"OMPI_COMM_WORLD_{name}": str(value) for name, value in names.items()}
    return {**ours, "PMIX_RANK": str(rank), "PMIX_NAMESPACE": "1451687937"}


def pmi(rank, size):
    return {"PMI_RANK": str(rank), "PMI_SIZE": str(size), "PMI_FD": "11"}


def batch(ntasks):
    """A batch script, as SLURM 22.05 sets it: no number of a step."""
    return {
        "ENVIRONMENT": "BATCH",
        "SLURM_JOB_ID": "7",
        "SLURM_PROCID": "0",
        "SLURM_GTIDS": "0",
        "SLURM_NTASKS": str(ntasks),
        "SLURM_NPROCS": str(ntasks),
        "SLURM_TASK_PID": "14910",
    }


def step(rank, size, gtids="0,1"):
    numbers = {"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": str(size), "SLURM_GTIDS": gtids}
    numbers |= {"SLURM_STEP_NODELIST": "vm", "SLURM_STEP_TASKS_PER_NODE": str(size)}
    return batch(size) | numbers | {"SLURM_PROCID": str(rank)}


TYPED = {"SLURM_PTY_PORT": "41237"}  # what the shell of srun --pty leaves

SHARES = [
    (openmpi(3, 4), (3, 4)),
    (openmpi(79, 80, here=40), (79, 80)),
    (pmi(0, 2), (0, 2)),
    (step(1, 2), (1, 2)),
    (step(0, 80), (0, 80)),
    # srun --mpi=pmi2 and --mpi=pmix say the same twice
    (step(1, 2) | pmi(1, 2), (1, 2)),
    (step(1, 2) | {"PMIX_RANK": "1"}, (1, 2)),
    # mpirun in a batch script; on other machines its helpers are a step
    (batch(4) | openmpi(2, 4), (2, 4)),
    (step(1, 3) | openmpi(9, 16), (9, 16)),
    (step(1, 3) | pmi(9, 16), (9, 16)),
    # what was left by a launcher of one process says nothing
    (step(1, 2) | pmi(0, 1), (1, 2)),
    (openmpi(0, 1) | pmi(1, 2), (1, 2)),
    (openmpi(2, 4) | pmi(2, 4), (2, 4)),
    # srun --pty, and the task it started itself; mpirun typed there
    (step(0, 2) | TYPED | {"SLURM_TASK_PID": OWN}, (0, 2)),
    (step(0, 2) | TYPED | openmpi(1, 3), (1, 3)),
    # ranks in a task of an array
    (array(2) | openmpi(3, 4), (11, 32)),
    (array(2, MIN="1", MAX="8") | step(1, 2), (3, 16)),
    (array(2) | openmpi(0, 1), (2, 8)),
    (array(2) | batch(4), (2, 8)),
    (array(2) | step(0, 2) | TYPED, (2, 8)),
    ({"JOB_COMPLETION_INDEX": "", **pmi(1, 2)}, (1, 2)),
]
ALONE = [
    batch(80),
    batch(80) | {"SLURM_STEP_ID": "4294967291"},
    step(0, 1),
    step(0, 2) | TYPED,
    step(0, 2) | TYPED | pmi(0, 2),
    step(0, 2) | TYPED | {"PMIX_RANK": "0"},
    step(0, 2) | {"SLURM_STEP_ID": "4294967290"},  # the shell of salloc
    step(0, 2) | batch(1),  # submitted from a task of a step
    step(0, 2) | batch(1) | TYPED | {"SLURM_TASK_PID": OWN},
    {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "2", "SLURM_NPROCS": "2"},  # salloc
    openmpi(0, 1),
    pmi(0, 1),
    {"OMPI_COMM_WORLD_RANK": "3"},
    {"PMI_SIZE": "3"},
    {"OMPI_COMM_WORLD_RANK": "", "OMPI_COMM_WORLD_SIZE": "4"},
]


@pytest.fixture(autouse=True)
def typed(monkeypatch):
    """As if a person had typed the command."""
    monkeypatch.setattr(slurm, "has_terminal", lambda: True)


@pytest.mark.parametrize(("environment", "expected"), SHARES)
def test_ranks_are_tasks(environment, expected):
    assert resolve(None, None, environment) == ArrayTask(*expected)
    assert resolve(5, 7, environment) == ArrayTask(5, 7)


@pytest.mark.parametrize("environment", ALONE)
def test_a_process_that_is_alone_is_not_mistaken(environment):
    assert resolve(None, None, environment) is None
    assert resolve(1, 2, environment) == ArrayTask(1, 2)


def test_a_step_begun_in_the_shell_of_another_has_no_terminal(monkeypatch):
    monkeypatch.setattr(slurm, "has_terminal", lambda: False)
    assert resolve(None, None, step(1, 2) | TYPED) == ArrayTask(1, 2)
    assert resolve(None, None, step(0, 2) | batch(1) | TYPED) is None


def test_a_terminal_is_found():
    script = "from fdsl_gen.core.slurm import has_terminal; print(has_terminal())"
    python = [sys.executable, "-c", script]
    done = subprocess.run(python, capture_output=True, text=True, start_new_session=True)
    assert done.stdout == "False\n"
    pty = f"import pty; pty.spawn({python!r})"
    done = subprocess.run([sys.executable, "-c", pty], capture_output=True, text=True)
    assert done.stdout.split() == ["True"]


@pytest.mark.parametrize(
    ("index", "count", "environment", "expected"),
    [
        (None, 8, openmpi(3, 4), (3, 8)),
        (None, 8, {"PMIX_RANK": "3"}, (3, 8)),
        (None, 32, {"PBS_ARRAY_INDEX": "5"} | pmi(1, 4), (21, 128)),
        (2, None, array(0) | step(1, 2), (5, 16)),
    ],
)
def test_options_and_ranks_together(index, count, environment, expected):
    assert resolve(index, count, environment) == ArrayTask(*expected)


@pytest.mark.parametrize(
    ("index", "count", "environment", "words"),
    [
        (None, None, openmpi("x", 4), r"OMPI_COMM_WORLD_RANK should be a number, not 'x'"),
        (None, None, pmi(4, 4), r"^PMI_RANK=4 does not fit PMI_SIZE=4; give --task-index and"),
        (None, None, {"PMIX_RANK": "3"}, r"^PMIX_RANK=3 is a rank, and nothing tells how many"),
        (None, None, array(2) | {"PMIX_RANK": "3"}, r"^PMIX_RANK=3 is a rank, and nothing"),
        (None, None, openmpi(1, 4) | pmi(0, 2), r"^OMPI_COMM_WORLD_RANK=1 and PMI_RANK=0 are"),
        (None, 3, openmpi(3, 4), r"below the number of tasks, 3, not 3"),
        (2, None, openmpi(3, 4), r"give both --task-index and --num-tasks, or neither"),
        (None, None, array(1) | pmi("-1", 2), r"PMI_RANK should be a number, not '-1'"),
    ],
)
def test_what_cannot_be_is_one_sentence(index, count, environment, words):
    with pytest.raises(UsageError, match=words):
        resolve(index, count, environment)


@pytest.mark.parametrize(
    ("environment", "cpus_here", "bound", "workers"),
    [
        (openmpi(0, 80), 80, 80, 1),
        (openmpi(0, 80), 80, 40, 1),  # bound to a socket
        (openmpi(0, 4), 64, 64, 16),
        (openmpi(0, 4), 64, 8, 8),  # bound to CPUs of its own
        (openmpi(0, 4), 2, 2, 1),
        (openmpi(0, 160, here=2), 64, 64, 32),
        (pmi(0, 4) | {"MPI_LOCALNRANKS": "2"}, 64, 64, 32),
        (pmi(0, 4), 64, 64, 16),
        (step(0, 80, gtids="0,1,2,3"), 64, 64, 16),
    ],
)
def test_ranks_of_a_machine_share_its_cpus(
    monkeypatch, tmp_path, environment, cpus_here, bound, workers
):
    monkeypatch.setattr(cpus.os, "cpu_count", lambda: cpus_here)
    monkeypatch.setattr(cpus.os, "sched_getaffinity", lambda pid: range(bound), raising=False)
    monkeypatch.setattr(cpus, "Path", lambda name: tmp_path / "none")  # no quota
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    assert find_ranks(environment).workers() == workers
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
    assert find_ranks(environment).workers() == min(3, workers)


def mpirun(size, *words, **env):
    """Start real ranks; each has a process group of its own, as Open MPI gives it."""
    command = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", str(size)]
    command += [sys.executable, "-m", "fdsl_gen.cli", *map(str, words)]
    return subprocess.Popen(
        command, env=os.environ | env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("mpirun"), reason="needs Open MPI")
def test_real_ranks_give_the_bytes_of_one_process(small_folder, tmp_path):
    """One of four is killed and all are run again."""
    out = tmp_path / "out"
    command = ("fractal-1", f"--out={out}", *options(SMALL))
    killed = False
    with mpirun(4, *command) as ranks:
        for line in ranks.stderr:
            if line.startswith("task 2 of 4 (counted from 0): 2 of 8 shards; rank 2 of 4 (Open"):
                os.kill(rank_pid(ranks.pid, 2), signal.SIGKILL)
                killed = True
    assert ranks.returncode != 0
    assert killed
    assert len(tars(out)) < 8
    again = mpirun(4, *command)
    output, errors = again.communicate(timeout=240)
    assert again.returncode == 0, errors
    assert output.count(" is done; ") == 4
    assert len(tars(out)) == 8
    here("finalize", out)
    assert tars(out) == tars(small_folder)
    assert everything(out) == everything(small_folder)


def rank_pid(parent, rank):
    """The process that is this rank of mpirun."""
    for status in Path("/proc").glob("[0-9]*/environ"):
        try:
            told = status.read_bytes().split(b"\0")
            if int((status.parent / "stat").read_text().split()[3]) != parent:
                continue
        except OSError:
            continue
        if f"OMPI_COMM_WORLD_RANK={rank}".encode() in told:
            return int(status.parent.name)
    raise AssertionError(f"no rank {rank}")
