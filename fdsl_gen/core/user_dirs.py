"""Folders of this user alone: caches, and room for work under way.

Names under the temporary folder can be guessed, so another user may have made them first, and what
is read from there (machine code, decoded images) would be theirs. Every level that is ours by name
is therefore made with mode 0700 and looked at before use. A folder that is not ours alone is never
used; whoever asked does without, or says so.
"""

import os
import stat
import tempfile
from pathlib import Path

import platformdirs

from fdsl_gen.core.errors import UsageError

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class NotPrivate(UsageError):
    """A folder that must be this user's alone, and is not or cannot be made."""


def private_folder(base: Path, *names: str) -> Path:
    """The folder ``base/name/...``; every level below ``base`` is this user's alone.

    Args:
        base: a folder that may belong to anybody, such as the temporary folder.
        names: levels below it. They are made with mode 0700 if they are missing.

    Raises:
        NotPrivate: if a level cannot be made, is no folder, belongs to another user, is a link of
            another user, or can be written by others.
    """
    try:
        base.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = base
        for name in names:
            folder = folder / name
            folder.mkdir(mode=0o700, exist_ok=True)
            _check(folder)
    except OSError as error:
        where = error.filename or base
        raise NotPrivate(f"cannot make the folder {where}: {error.strerror}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise NotPrivate(f"cannot write into {folder}")
    return folder


def temporary_folder(*names: str) -> Path:
    """A folder of this user for large files that may go: ``TMPDIR/fdsl-UID/name/...``.

    Raises:
        NotPrivate: see :func:`private_folder`.
    """
    return private_folder(*_temporary(), *names)


def _temporary() -> tuple[Path, str]:
    return Path(tempfile.gettempdir()).absolute(), f"fdsl-{os.getuid()}"


def cache_folder(*names: str) -> Path | None:
    """A folder for small files that save time, in the user's cache (``XDG_CACHE_HOME``).

    Where there is none (no home, or it is read-only), in the temporary folder.

    Returns:
        None if neither is this user's alone.
    """
    home = platformdirs.user_cache_path("fdsl")
    for base, name in ((home.parent, home.name), _temporary()):
        try:
            if base.is_absolute():  # it is not where the user has no home
                return private_folder(base, name, *names)
        except NotPrivate:
            continue
    return None


def _check(folder: Path) -> None:
    """Refuse a folder that is not this user's alone; a link must be ours, and what it points to."""
    for found in (folder.lstat(), folder.stat()):
        if found.st_uid != os.getuid():
            raise NotPrivate(f"{folder} belongs to another user; it is not used")
    if found.st_mode & _OTHERS_WRITE:
        raise NotPrivate(f"{folder} can be written by other users; it is not used (chmod go-w)")
