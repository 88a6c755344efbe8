"""Which process this is, from the variables of each launcher."""

import pytest

from fdsl_gen.core.errors import UsageError
from fdsl_train.distributed.launch import Process, find_process

TORCHRUN = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}
MEETING = {"MASTER_ADDR": "10.0.0.7", "MASTER_PORT": "1234"}
SRUN = {"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "4", "SLURM_LOCALID": "1"}
SRUN |= {"SLURM_JOB_ID": "123456", "SLURM_NTASKS": "4"}
SRUN |= {"SLURM_STEP_NODELIST": "gpu[07-09,12],login1"}
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
        # torchrun inside a SLURM step is torchrun
        (SRUN | TORCHRUN, Process(5, 8, 1)),
    ],
    ids=str,
)
def test_launchers(environment: dict[str, str], process: Process) -> None:
    assert find_process(environment) == process


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        (TORCHRUN | {"RANK": "x"}, "RANK must be a number, and is 'x'"),
        (TORCHRUN | {"RANK": "8"}, "RANK=8 does not fit WORLD_SIZE=8"),
        (TORCHRUN | {"MASTER_PORT": ""}, "MASTER_PORT must be a number"),
        (SRUN | {"SLURM_STEP_NODELIST": ""}, "cannot read the first host"),
        (MPIRUN | {"OMPI_COMM_WORLD_LOCAL_SIZE": "1"}, "-x MASTER_ADDR=HOST"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_variables_that_make_no_sense(environment: dict[str, str], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        find_process(environment)
