"""What can be seen of a file of weights without PyTorch, so that a wrong path is told at once."""

import os
from pathlib import Path

from fdsl_gen.core.errors import UsageError


def check_regular(path: Path) -> None:
    """Refuse what is missing, and what may never end: pipes and devices.

    Raises:
        UsageError: if ``path`` is no regular file.
    """
    if os.path.isfile(path):  # unlike Path's, never raises, whatever the name
        return
    missing = not os.path.lexists(path)
    raise UsageError(f"no such checkpoint: {path}" if missing else f"{path} is not a file")
