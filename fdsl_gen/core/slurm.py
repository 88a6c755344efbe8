"""Whether this process is one of the tasks that ``srun`` started together."""

import os
from collections.abc import Mapping

STEP_SIZE = "SLURM_STEP_NUM_TASKS"
_TERMINAL = ("SLURM_PTY_PORT", "SLURM_PTY_WIN_COL", "SLURM_PTY_WIN_ROW")
_SPECIAL = 0xFFFF_FFF0  # from here on numbers of steps are those of batch scripts and shells


def in_step(environment: Mapping[str, str]) -> bool:
    """Whether this process is a task of a SLURM step, however large.

    Variables of a step are inherited by much that is no task of it: commands that are typed into
    the shell of ``srun --pty``, and batch scripts that were submitted there. A batch script sets
    its own ``SLURM_PROCID`` and ``SLURM_NTASKS`` and leaves those of the step alone.
    """
    size = environment.get(STEP_SIZE, "")
    if not size or environment.get("SLURM_NTASKS", size) != size:
        return False
    step = environment.get("SLURM_STEP_ID", "")
    if step.isdigit() and int(step) >= _SPECIAL:
        return False
    if not set(_TERMINAL) & set(environment):
        return True
    # What was begun in that shell by another srun has no terminal.
    return environment.get("SLURM_TASK_PID") == str(os.getpid()) or not has_terminal()


def has_terminal() -> bool:
    """Whether a terminal controls this process, whatever its files are redirected to."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
