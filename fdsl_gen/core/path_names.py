"""Is a text the name of a file or of a folder, whatever stands there?"""

import os
from pathlib import Path

from fdsl_gen.core.errors import UsageError

_MOST_BYTES = 255  # of a name between slashes, in all common file systems
_MOST_IN_ALL = 4000  # of a path, and some for what is put behind it


def check_path(text: str | Path) -> Path:
    """The path, unless nothing can stand there.

    Raises:
        UsageError: if it is empty or too long, or a link in it leads nowhere.
    """
    if not str(text):
        raise UsageError("the name of a file or folder is empty")
    path = Path(text)
    if "\0" in str(path):
        raise UsageError(f"{str(path)!r} cannot be the name of a file or folder")
    parts = [len(os.fsencode(part)) for part in path.parts]
    if max(parts, default=0) > _MOST_BYTES or sum(parts) + len(parts) > _MOST_IN_ALL:
        raise UsageError(f"{str(path)[:80]}... is too long for the name of a file or folder")
    for place in (path, *path.parents):
        if place.is_symlink() and not place.exists():
            raise UsageError(f"{place} is a link to {os.readlink(place)}, which is not there")
    return path
