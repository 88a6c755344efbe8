"""JSON that others may have written: one reader with bounds for all files of ours."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from fdsl_gen.core.errors import UsageError

# A manifest has some 250 bytes and six values for each shard. Values are counted because a list
# takes three bytes here and sixty in memory.
MAX_BYTES = 1 << 28
_MAX_VALUES = 5_000_000
_MAX_DEPTH = 64


def parse_json(content: bytes | str, where: str, max_bytes: int = MAX_BYTES) -> Any:
    """The value of a JSON text.

    Args:
        content: the text, UTF-8.
        where: the file, for messages.
        max_bytes: largest text that is read.

    Raises:
        UsageError: if it is not JSON, too large, nested too deeply, names a key twice, or holds
            NaN or infinity.
    """
    if len(content) > max_bytes:
        raise UsageError(f"cannot read {where}: it is larger than {max_bytes:,} bytes")
    data = content.encode("utf-8", "replace") if isinstance(content, str) else content
    if sum(data.count(mark) for mark in b",[{") > _MAX_VALUES:
        raise UsageError(f"cannot read {where}: it holds more than {_MAX_VALUES:,} values")
    try:
        value = json.loads(content, object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise UsageError(f"cannot read {where}: it is not JSON of fdsl: {reason}") from None
    level: list[Any] = [value]
    for _ in range(_MAX_DEPTH):
        level = [inner for item in level for inner in _inner(item)]
        if not level:
            return value
    raise UsageError(f"cannot read {where}: it is nested too deeply")


def read_json(path: Path, max_bytes: int = MAX_BYTES) -> Any:
    """The value of a JSON file.

    Raises:
        FileNotFoundError: if there is none.
        UsageError: if it cannot be read; see :func:`parse_json`.
    """
    return parse_json(read_bounded(path, max_bytes), str(path), max_bytes)


def read_bounded(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """The content of a regular file that is not larger than ``max_bytes``.

    Raises:
        FileNotFoundError: if there is none.
        UsageError: if it is no regular file, too large, or cannot be read.
    """
    try:
        if path.exists() and not path.is_file():  # opening a FIFO would wait for ever
            raise UsageError(f"cannot read {path}: it is not a regular file")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size  # read() makes room for all that it is asked for
            content = file.read(min(size, max_bytes) + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(error.errno, error.strerror, str(path)) from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    if len(content) > max_bytes:
        raise UsageError(f"cannot read {path}: it is larger than {max_bytes:,} bytes")
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number of JSON")


def _inner(item: Any) -> Iterable[Any]:
    if isinstance(item, dict):
        return item.values()
    return item if isinstance(item, list) else ()
