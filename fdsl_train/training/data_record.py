"""``data.json``: what a run was trained on, so that it can be told when the data are gone."""

import json
from pathlib import Path
from typing import Any

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.json_text import parse_json, read_bounded
from fdsl_gen.storage import local
from fdsl_train.data.sources.base import Source
from fdsl_train.data.sources.mixture import parts_of

DATA = "data.json"


def write_data(folder: Path, source: Source, start: str) -> None:
    """Write the sets of a run, with recipe and identity of those made by fdsl-gen.

    Args:
        folder: of the run.
        source: what it is trained on.
        start: what its weights came from, for people.

    Raises:
        UsageError: if it cannot be written.
    """
    sets = [
        {
            "name": part.name,
            "digest": part.digest,
            "num_classes": part.num_classes,
            "share": float(share),
        }
        | getattr(part, "origin", {})
        for part, share in parts_of(source)
    ]
    content = json.dumps({"start": start, "sets": sets}, indent=1)
    try:
        local.write(folder / DATA, content.encode())
    except OSError as error:
        raise UsageError(f"cannot write into {folder}: {error.strerror}") from None


def read_data(folder: Path) -> dict[str, Any]:
    """What :func:`write_data` wrote.

    Raises:
        UsageError: if it is not there, or something else.
    """
    path = folder / DATA
    try:
        found = parse_json(read_bounded(path), str(path))
    except FileNotFoundError:
        raise UsageError(f"{path} is missing; it is written when a run begins or goes on") from None
    sets = found.get("sets") if isinstance(found, dict) else None
    if not isinstance(sets, list) or not all(isinstance(one, dict) for one in sets):
        raise UsageError(f"{path} is not one that fdsl-train writes")
    assert isinstance(found, dict)
    return found
