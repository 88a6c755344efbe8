"""Downloading an object into a file: continued after a cut, checked, and then named.

Bytes arrive in ``.{name}.{size}.part`` beside the file. That file is also the lock: of several
processes that want the same object one brings it and the others find it there. Nothing but the
part of an unfinished download is ever left, and the next one goes on from it.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from hashlib import sha256 as new_sha256
from pathlib import Path
from typing import Any, BinaryIO

from fdsl_gen.core.errors import Mismatch
from fdsl_gen.core.locks import locked
from fdsl_gen.storage import local
from fdsl_gen.storage.base import Store


def part_of(path: Path, size: int) -> Path:
    """Where the bytes of ``path`` arrive."""
    return path.with_name(f".{path.name}.{size}.part")


def size_of_part(part: Path) -> int:
    """The bytes that the file will have when all have arrived."""
    return int(part.name.rsplit(".", 2)[1])


@contextlib.contextmanager
def _locked(part: Path) -> Iterator[BinaryIO]:
    """The part, open and ours alone. It may have been finished and renamed by its former owner."""
    while True:
        with locked(part, progress=lambda: _size(part)) as file:
            if _is_at(file, part):
                yield file
                return


def _size(part: Path) -> int | None:
    try:
        return part.stat().st_size
    except FileNotFoundError:
        return None


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def download_file(
    store: Store,
    name: str,
    path: Path,
    size: int,
    sha256: str | None,
    *,
    begin: Callable[[], Any] | None = None,
) -> None:
    """Bring an object to ``path``, unless a file stands there; waits for who is at it already.

    Args:
        store: where the object is.
        name: its name there.
        path: file to be.
        size: of the object, bytes.
        sha256: of the object, hexadecimal; None: not known.
        begin: called once it is known that bytes must be fetched.

    Raises:
        ObjectMissing: if there is no such object.
        Mismatch: if its bytes are not those expected.
        OSError: if they cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(path, size)
    with local.named(path), _locked(part) as file:
        if path.exists():
            part.unlink()
            return
        if begin is not None:
            begin()
        try:
            continued = os.fstat(file.fileno()).st_size > 0
            whole = _fill(file, store, name, size, sha256)
            if continued and not whole:  # the part may have been of another object
                whole = _fill(file, store, name, size, sha256, fresh=True)
            if not whole:
                os.truncate(part, 0)
                raise Mismatch(f"{store.url}/{name} is damaged: its sha256 is not the one expected")
            os.fsync(file.fileno())
        except BaseException:
            if os.fstat(file.fileno()).st_size == 0:
                part.unlink()
            raise
        os.replace(part, path)
        local.sync_folder(path.parent)


def _fill(
    file: BinaryIO, store: Store, name: str, size: int, sha256: str | None, *, fresh: bool = False
) -> bool:
    """Fetch what is missing; whether the whole is what it should be."""
    hashed = new_sha256()
    file.seek(0)
    if fresh:
        file.truncate(0)
    while block := file.read(1 << 20):
        hashed.update(block)
    at = file.tell()
    if at < size:
        for chunk in store.stream(name, at, size):
            hashed.update(chunk)
            file.write(chunk)
            file.flush()  # what came is not lost if this process is killed
    return file.tell() == size if sha256 is None else hashed.hexdigest() == sha256
