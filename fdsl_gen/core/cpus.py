"""How many CPUs this process may use."""

import os
from pathlib import Path


def default_workers(sharing: int = 1) -> int:
    """CPUs that this process may use: affinity, SLURM's grant, the cgroup's quota.

    Args:
        sharing: processes that share the machine, this one among them. Those that are bound to CPUs
            of their own keep these; of others each gets its part.
    """
    machine = os.cpu_count() or 1
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else machine
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            machine = min(machine, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        pass
    count = min(count, max(1, machine // sharing))
    granted = os.environ.get("SLURM_CPUS_PER_TASK", "")
    if granted.isdigit() and int(granted) > 0:
        count = min(count, int(granted))
    return count
