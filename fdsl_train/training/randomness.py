"""The global generators that libraries draw from, set from a key before each use.

timm and torchvision take their random numbers from Python's ``random``, NumPy's legacy generator
and torch's default one. Setting all three from a key of the thing about to be drawn (a sample, a
step) makes the draw independent of what was drawn before, and by whom.
"""

import random

import numpy as np
import torch

from fdsl_gen.core.keys import Key


def seed_cpu(key: Key) -> None:
    """Set the CPU generators of this process from ``key``.

    For loader workers: ``torch.manual_seed`` would also record a stack trace for a CUDA device that
    they never use, which takes longer than a whole transform.
    """
    number = int.from_bytes(key.digest, "little")
    random.seed(number)
    np.random.seed(np.frombuffer(key.digest, dtype="<u4"))  # noqa: NPY002 (timm draws from it)
    torch.default_generator.manual_seed(number & (2**63 - 1))


def seed_all(key: Key) -> None:
    """Set the generators of this process from ``key``, those of the GPUs too."""
    seed_cpu(key)
    torch.manual_seed(int.from_bytes(key.digest, "little") & (2**63 - 1))
