"""What an exception in a task means for the rest of the run."""

import traceback

from fdsl_gen.core.errors import FdslError, StorageError
from fdsl_gen.storage.local import NO_ROOM


def explain(error: Exception) -> tuple[str, bool]:
    """One sentence for the user, and whether further tasks would fail for the same reason."""
    if isinstance(error, FdslError):
        return str(error), isinstance(error, StorageError)
    if isinstance(error, OSError):
        return f"cannot write: {error.strerror or error}", error.errno in NO_ROOM
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {where.name}, line {where.lineno}: {error}", False
