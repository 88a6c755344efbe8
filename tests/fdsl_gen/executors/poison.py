"""Loaded into the workers of a test cluster: shard 3 kills its worker while a file exists."""

import os
import signal
from pathlib import Path

from fdsl_gen.build import generate
from fdsl_gen.recipe.order import samples_of

FLAG = Path(os.environ["FDSL_TEST_POISON"])


def poisoned(recipe, shard):
    if shard.index == 3 and FLAG.exists():
        os.kill(os.getpid(), signal.SIGKILL)
    return samples_of(recipe, shard)


generate.samples_of = poisoned
