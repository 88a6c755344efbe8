"""Which of the processes of a run this is.

Each process drives one device. They are started by ``torchrun``, by ``srun`` under SLURM or by Open
MPI's ``mpirun``, and each reads its number from the variables those set.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from fdsl_gen.core import slurm
from fdsl_gen.core.errors import UsageError

TIMEOUT = "FDSL_JOIN_TIMEOUT"  # variable with the seconds to wait for other processes
_TIMEOUT_SECONDS = 600
_PORT = 29500  # torchrun's own choice
_PLACE = ("MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Process:
    """One of the processes of a run.

    Attributes:
        rank: which it is, 0 <= rank < world_size; 0 writes files and speaks.
        world_size: how many there are.
        local_rank: which it is on its machine; its device.
        address, port: where process 0 can be met.
        timeout: seconds to wait for the others.
        believed: the variables that say so, as ``NAME=value``.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    address: str = "127.0.0.1"
    port: int = _PORT
    timeout: int = _TIMEOUT_SECONDS
    believed: tuple[str, ...] = field(default=(), compare=False)


def find_process(environment: Mapping[str, str] = os.environ) -> Process:
    """Which process this is, from the variables of whatever started it.

    ``MASTER_ADDR`` and ``MASTER_PORT`` override what the launcher says of the meeting place. Who
    inherits the variables of a SLURM step and is none of its tasks is alone.

    Raises:
        UsageError: if the variables do not make sense.
    """
    if "RANK" in environment and "WORLD_SIZE" in environment:
        numbers = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
        address, port = "127.0.0.1", _PORT
    elif slurm.in_step(environment):
        numbers = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")
        address = _first_host(environment.get("SLURM_STEP_NODELIST", "127.0.0.1"))
        port = 10_000 + _integer(environment, "SLURM_JOB_ID") % 20_000
    elif "OMPI_COMM_WORLD_SIZE" in environment:
        numbers = ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK")
        address, port = "127.0.0.1", _PORT
        local = environment.get("OMPI_COMM_WORLD_LOCAL_SIZE")
        if local != environment["OMPI_COMM_WORLD_SIZE"] and "MASTER_ADDR" not in environment:
            raise UsageError(
                "mpirun started processes on several machines: pass on where the first of them is,"
                " with -x MASTER_ADDR=HOST"
            )
    else:
        return Process()
    # One process per container needs no local rank, and some launchers set none.
    known = {"LOCAL_RANK": "0"} | dict(environment)
    rank, world_size, local_rank = (_integer(known, name) for name in numbers)
    if not 0 <= rank < world_size:
        raise UsageError(f"{numbers[0]}={rank} does not fit {numbers[1]}={world_size}")
    timeout = _integer(environment, TIMEOUT) if TIMEOUT in environment else _TIMEOUT_SECONDS
    names = (*numbers, *_PLACE, *(["SLURM_STEP_NODELIST"] if "SLURM_PROCID" in numbers else []))
    return Process(
        rank,
        world_size,
        local_rank,
        environment.get("MASTER_ADDR", address),
        _integer(environment, "MASTER_PORT") if "MASTER_PORT" in environment else port,
        timeout,
        tuple(f"{name}={environment[name]}" for name in names if name in environment),
    )


def _integer(environment: Mapping[str, str], name: str) -> int:
    text = environment.get(name, "")
    if not text.isdigit():
        raise UsageError(f"the variable {name} must be a number, and is {text!r}")
    return int(text)


def _first_host(nodes: str) -> str:
    """The first of ``node[07-09,12],other``, as SLURM writes lists of hosts."""
    match = re.match(r"([^,\[]+)(?:\[([^,\-\]]+)[^\]]*\])?", nodes)
    if match is None:
        raise UsageError(f"cannot read the first host of SLURM_STEP_NODELIST={nodes!r}")
    return match[1] + (match[2] or "")
