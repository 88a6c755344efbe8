"""Ranks: processes that one launcher started together, such as ``mpirun -np 80`` or ``srun``.

Each of them is a task of its own, and nothing passes between them: they need no MPI library.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from fdsl_gen.core import slurm
from fdsl_gen.core.cpus import default_workers
from fdsl_gen.core.errors import UsageError

_ADVICE = "give --task-index and --num-tasks"


@dataclass(frozen=True, slots=True)
class Launcher:
    """What starts ranks, and the environment variables that say so.

    Attributes:
        name: for people.
        rank: which of them this process is, from 0.
        size: how many there are; empty: no variable tells.
        here: how many of them run on this machine, or a list of those that do.
    """

    name: str
    rank: str
    size: str
    here: str = ""


OPEN_MPI = Launcher(
    "Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"
)
PMI = Launcher("PMI", "PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS")  # MPICH, Intel MPI, Cray
PMIX = Launcher("PMIx", "PMIX_RANK", "")
SLURM = Launcher("a SLURM step", "SLURM_PROCID", slurm.STEP_SIZE, "SLURM_GTIDS")
LAUNCHERS = (OPEN_MPI, PMI, PMIX, SLURM)


@dataclass(frozen=True, slots=True)
class Ranks:
    """Rank ``rank`` of ``size`` (0: not known), ``here`` of which are on this machine."""

    launcher: Launcher
    rank: int
    size: int
    here: int

    def __str__(self) -> str:
        size = f" of {self.size}" if self.size else ""
        return f"rank {self.rank}{size} ({self.launcher.name})"

    def workers(self) -> int:
        """Processes for each rank, so that those of a machine share what they may use."""
        return default_workers(sharing=self.here)


def find_ranks(environment: Mapping[str, str]) -> Ranks | None:
    """What started this process together with others; None if it is alone.

    MPI starts its helpers on other machines as a SLURM step, so its own variables say more than
    those of the step. The tasks of a step may have variables of PMI or PMIx as well, as may a shell
    that is one.

    Raises:
        UsageError: if variables make no sense, or two kinds of MPI left different ones.
    """
    step = _read(SLURM, environment) if slurm.STEP_SIZE in environment else None
    said = [found for launcher in (OPEN_MPI, PMI) if (found := _read(launcher, environment))]
    mpi = [found for found in said if found.size > 1 and not (step and _equal(found, step))]
    if len(mpi) == 2 and not _equal(*mpi):
        both = " and ".join(f"{found.launcher.rank}={found.rank}" for found in mpi)
        raise UsageError(f"{both} are of two launchers that say different things; {_ADVICE}")
    if mpi:
        return mpi[0]
    if step is not None:
        return step if step.size > 1 and slurm.in_step(environment) else None
    return None if said else _read(PMIX, environment)


def _equal(one: Ranks, other: Ranks) -> bool:
    return (one.rank, one.size) == (other.rank, other.size)


def _read(launcher: Launcher, environment: Mapping[str, str]) -> Ranks | None:
    """What a launcher's variables say; None if they are not all there."""
    if not environment.get(launcher.rank) or (launcher.size and not environment.get(launcher.size)):
        return None
    rank = _number(environment, launcher.rank)
    size = _number(environment, launcher.size) if launcher.size else 0
    if launcher.size and rank >= size:
        raise UsageError(f"{launcher.rank}={rank} does not fit {launcher.size}={size}; {_ADVICE}")
    here = environment.get(launcher.here, "")
    if launcher is SLURM and here:
        count = len(here.split(","))
    else:
        count = int(here) if here.isdecimal() else size
    return Ranks(launcher, rank, size, max(1, count))


def _number(environment: Mapping[str, str], name: str) -> int:
    text = environment[name]
    if not (text.isascii() and text.isdigit()):
        raise UsageError(f"{name} should be a number, not '{text}'; {_ADVICE}")
    return int(text)
