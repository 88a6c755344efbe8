"""Which process this is, from the variables of each launcher."""

import os
import signal
import subprocess
import sys
import time

import pytest
from torch.distributed import TCPStore

from fdsl_gen.core import slurm
from fdsl_gen.core.errors import UsageError
from fdsl_train.distributed.launch import Process, find_process
from tests.fdsl_train.conftest import environment
from tests.fdsl_train.distributed.together import free_port

TORCHRUN = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}
MEETING = {"MASTER_ADDR": "10.0.0.7", "MASTER_PORT": "1234"}
SRUN = {"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "4", "SLURM_LOCALID": "1"}
SRUN |= {"SLURM_JOB_ID": "123456", "SLURM_NTASKS": "4"}
SRUN |= {"SLURM_STEP_NODELIST": "gpu[07-09,12],login1"}
PTY = {"SLURM_PTY_PORT": "40001", "SLURM_PTY_WIN_COL": "80", "SLURM_PTY_WIN_ROW": "24"}
OWN = str(os.getpid())
MPIRUN = {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}
MPIRUN |= {"OMPI_COMM_WORLD_LOCAL_RANK": "1", "OMPI_COMM_WORLD_LOCAL_SIZE": "2"}


@pytest.mark.parametrize(
    ("environment", "process"),
    [
        ({}, Process(0, 1, 0)),
        (TORCHRUN, Process(5, 8, 1)),
        (TORCHRUN | MEETING, Process(5, 8, 1, "10.0.0.7", 1234)),
        ({"RANK": "1", "WORLD_SIZE": "2"}, Process(1, 2, 0)),
        (SRUN, Process(3, 4, 1, "gpu07", 10_000 + 123456 % 20_000)),
        (SRUN | MEETING, Process(3, 4, 1, "10.0.0.7", 1234)),
        (SRUN | {"SLURM_STEP_NODELIST": "n1,n2"}, Process(3, 4, 1, "n1", 13456)),
        (SRUN | {"SLURM_STEP_NODELIST": "alone-3"}, Process(3, 4, 1, "alone-3", 13456)),
        # A batch script is not a step: srun was not used, so this is one process.
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_JOB_ID": "1"}, Process(0, 1, 0)),
        (MPIRUN, Process(1, 2, 1)),
        (MPIRUN | MEETING, Process(1, 2, 1, "10.0.0.7", 1234)),
        # typed into the shell of srun --pty: the variables are those of the shell
        (SRUN | PTY, Process(0, 1, 0)),
        (SRUN | PTY | {"SLURM_TASK_PID": "1"}, Process(0, 1, 0)),
        # the task itself, and any task without a terminal
        (SRUN | PTY | {"SLURM_TASK_PID": OWN}, Process(3, 4, 1, "gpu07", 13456)),
        (SRUN | {"SLURM_TASK_PID": "1"}, Process(3, 4, 1, "gpu07", 13456)),
        (TORCHRUN | {"FDSL_JOIN_TIMEOUT": "5"}, Process(5, 8, 1, timeout=5)),
        # torchrun inside a SLURM step is torchrun
        (SRUN | TORCHRUN, Process(5, 8, 1)),
    ],
)
def test_launchers(
    environment: dict[str, str], process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm, "has_terminal", lambda: True)
    assert find_process(environment) == process


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        (TORCHRUN | {"RANK": "x"}, "RANK must be a number, and is 'x'"),
        (TORCHRUN | {"RANK": "8"}, "RANK=8 does not fit WORLD_SIZE=8"),
        (TORCHRUN | {"FDSL_JOIN_TIMEOUT": "ten"}, "FDSL_JOIN_TIMEOUT must be a number"),
        (TORCHRUN | {"MASTER_PORT": ""}, "MASTER_PORT must be a number"),
        (SRUN | {"SLURM_STEP_NODELIST": ""}, "cannot read the first host"),
        (MPIRUN | {"OMPI_COMM_WORLD_LOCAL_SIZE": "1"}, "-x MASTER_ADDR=HOST"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_variables_that_make_no_sense(environment: dict[str, str], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        find_process(environment)


MEET = """
import logging, sys
import torch
from fdsl_gen.core import signals
from fdsl_gen.core.errors import UsageError
from fdsl_train.distributed.group import process_group
from fdsl_train.distributed.launch import find_process
logging.basicConfig(format="%(message)s")
def load():
    try:
        with process_group(find_process(), torch.device("cpu")) as group:
            sys.exit(int(group.sum([1.0])[0]))
    except UsageError as error:
        sys.exit(str(error))
signals.run("command", "go on", lambda: load)
"""


def alone(**variables: str) -> "subprocess.Popen[str]":
    """A process that wants to meet others."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", MEET],
        env=environment() | place | variables,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("rank", ["0", "2"])
def test_who_waits_says_so_and_gives_up(rank: str) -> None:
    process = alone(
        SLURM_PROCID=rank,
        SLURM_STEP_NUM_TASKS="4",
        SLURM_LOCALID="0",
        SLURM_JOB_ID="7",
        FDSL_JOIN_TIMEOUT="3",
    )
    _, errors = process.communicate(timeout=120)
    first, last = errors.splitlines()
    who = "3 of 4 processes" if rank == "0" else "process 0 of 4"
    assert first.startswith(f"waiting for {who} at 127.0.0.1:")
    assert "gave up at 127.0.0.1:" in last
    assert f"believed SLURM_PROCID={rank}, SLURM_STEP_NUM_TASKS=4, SLURM_LOCALID=0, MASTER" in last


@pytest.mark.parametrize(
    ("rank", "number", "code"), [("0", signal.SIGINT, 130), ("1", signal.SIGTERM, 75)]
)
def test_who_waits_obeys_signals(rank: str, number: signal.Signals, code: int) -> None:
    process = alone(RANK=rank, WORLD_SIZE="2")
    assert process.stderr is not None
    assert process.stderr.readline().startswith("waiting for ")
    process.send_signal(number)
    began = time.monotonic()
    _, errors = process.communicate(timeout=240)
    assert process.returncode == code
    assert len(errors.splitlines()) == 1
    assert time.monotonic() - began < 60


def test_all_who_come_meet() -> None:
    port = {"MASTER_PORT": str(free_port())}
    both = [alone(RANK=rank, WORLD_SIZE="2", **port) for rank in ("1", "0")]
    for process in both:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 2, errors
        assert all(line.startswith("waiting for ") for line in errors.splitlines()), errors


IN_A_ROW = """
import time, torch
from fdsl_train.distributed.group import process_group
from fdsl_train.distributed.launch import find_process
for k in range(3):
    time.sleep(find_process().rank == k % 2)  # the other one must wait
    with process_group(find_process(), torch.device("cpu")) as group:
        print(int(group.sum([group.rank + 1.0])[0]))
"""


def test_runs_of_one_script_meet_one_after_the_other() -> None:
    """The store of torchrun stands all the while, with what the first meeting left in it."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    place = {"MASTER_PORT": str(store.port), "MASTER_ADDR": "127.0.0.1", "WORLD_SIZE": "2"}
    place |= {"TORCHELASTIC_USE_AGENT_STORE": "True", "FDSL_JOIN_TIMEOUT": "60"}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", IN_A_ROW],
            env=environment() | place | {"RANK": rank, "LOCAL_RANK": rank},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    assert [process.communicate(timeout=120)[0] for process in both] == ["3\n3\n3\n"] * 2
