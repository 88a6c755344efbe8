"""Which files below a folder are images, and which folders are no data.

Links to folders are followed, every folder counts once, and what editors, file servers and archive
tools leave between the images (copies, thumbnails) is passed over.
"""

import os
import stat
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.image_files import ENDINGS, OTHER_ENDINGS

# In lower case; hidden ones (.ipynb_checkpoints, .thumbnails, .git) begin with a dot.
_MADE_BY_TOOLS = {"@eadir", "@tmp", "@recycle", "@recently-snapshot", "#recycle", "#snapshot"}
_MADE_BY_TOOLS |= {"__macosx", "__pycache__", "$recycle.bin", "system volume information"}
_MADE_BY_TOOLS |= {"lost+found"}


class ImageFile(NamedTuple):
    """A regular file with the ending of an image.

    Attributes:
        path: of the file, below the folder that was asked for.
        size: bytes.
    """

    path: Path
    size: int


def folders_in(path: Path) -> list[str]:
    """Names of the folders in a folder, sorted, without hidden and tool-made ones.

    Raises:
        UsageError: if the folder cannot be read, or has a link to nothing.
    """
    found = []
    for entry in _entries(path):
        facts = _facts(entry)
        if facts is not None and stat.S_ISDIR(facts.st_mode):
            found.append(entry.name)
    return sorted(found)


def images_below(folder: Path, root: Path, unread: Counter[str]) -> list[ImageFile]:
    """All images below a folder, sorted by path.

    Args:
        folder: of a class, or ``root`` itself.
        root: of all images; a link back to it, to ``folder`` or to what they are in leads nowhere.
        unread: counts, by their ending, pictures of kinds that are not read.

    Raises:
        UsageError: if a folder cannot be read, an image is no regular file, or a link leads to
            nothing.
    """
    around = root.resolve()
    seen = {_identity(place.stat()) for place in (*around.parents, folder.parent)}
    if folder != root:
        seen.add(_identity(around.stat()))
    found: list[ImageFile] = []
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        try:
            identity = _identity(place.stat())
        except OSError as error:
            raise UsageError(f"cannot read the folder {place}: {error.strerror}") from None
        if identity in seen:
            continue
        seen.add(identity)
        for entry in _entries(place):
            facts = _facts(entry)
            if facts is None:
                continue
            path = place / entry.name
            if stat.S_ISDIR(facts.st_mode):
                waiting.append(path)
            elif path.suffix.lower() in ENDINGS:
                if not stat.S_ISREG(facts.st_mode):
                    raise UsageError(f"cannot read the image {path}: it is not a regular file")
                found.append(ImageFile(path, facts.st_size))
            elif path.suffix.lower() in OTHER_ENDINGS:
                unread[path.suffix.lower()] += 1
    return sorted(found, key=lambda image: image.path.parts)


def _identity(facts: os.stat_result) -> tuple[int, int]:
    return facts.st_dev, facts.st_ino


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(
                (entry for entry in entries if not _is_no_data(entry.name)), key=lambda e: e.name
            )
    except OSError as error:
        raise UsageError(f"cannot read the folder {folder}: {error.strerror}") from None


def _is_no_data(name: str) -> bool:
    return name.startswith(".") or name.lower() in _MADE_BY_TOOLS


def _facts(entry: os.DirEntry[str]) -> os.stat_result | None:
    """Of what the entry is or leads to; None for what cannot matter: a broken link of no image."""
    try:
        return entry.stat()
    except OSError as error:
        suffix = Path(entry.name).suffix.lower()
        if suffix and suffix not in ENDINGS:
            return None
        if entry.is_symlink():
            raise UsageError(
                f"{entry.path} is a link to {os.readlink(entry.path)}, which is not there or cannot"
                " be read; mend or delete the link"
            ) from None
        raise UsageError(f"cannot read {entry.path}: {error.strerror}") from None
