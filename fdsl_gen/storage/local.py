"""Files that are either whole or not there, in a local folder.

Everything is written under a temporary name in its own folder, flushed to the disk and then given
its final name. The temporary name tells host, process and thread, so that what a killed process
left can be found: ``.{final name}.{host}.{pid}-{thread}.tmp``.
"""

import builtins
import contextlib
import errno
import os
import socket
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from stat import S_ISREG

from fdsl_gen.core.errors import Mismatch, ShardsFailed, StorageError, UsageError
from fdsl_gen.core.json_text import MAX_BYTES, read_bounded
from fdsl_gen.storage.base import Stat
from fdsl_gen.storage.errors import ObjectExists, ObjectMissing, Unreadable

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
NO_ROOM = FULL | {errno.EROFS}
_HOST = socket.gethostname().replace(".", "-")


def _temporary(path: Path) -> Path:
    writer = f"{os.getpid()}-{threading.get_native_id()}"
    return path.with_name(f".{path.name}.{_HOST}.{writer}.tmp")


def sync_folder(folder: Path) -> None:
    """See that the names of new files in a folder are on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """What cannot be written is told of by its final name; a full disk is told without any."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            error.filename = str(path)
        raise


@contextlib.contextmanager
def at_place_of_user(path: Path) -> Iterator[None]:
    """Writing where a user said: UsageError, but not where the disk is full."""
    try:
        yield
    except OSError as error:
        where = error.filename or path
        if error.errno in FULL:
            error.filename = str(where)
            raise
        raise UsageError(f"cannot write {where}: {error.strerror}") from None


def write_temporary(path: Path, parts: Iterable[bytes]) -> tuple[Path, str, int]:
    """A temporary file beside ``path`` with the joined parts; its path, sha256 and size.

    It is the caller's to rename or remove; :func:`sweep` finds it if the caller is killed.
    """
    temporary = _temporary(path)
    hashed = sha256()
    size = 0
    try:
        with named(path), temporary.open("wb") as file:
            for part in parts:
                hashed.update(part)
                file.write(part)
                size += len(part)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary, hashed.hexdigest(), size


def write_new(path: Path, parts: Iterable[bytes]) -> tuple[str, int]:
    """Write a file that must not exist yet.

    Returns:
        Its sha256 and its size in bytes.

    Raises:
        FileExistsError: if the final name is taken, whoever took it; nothing was replaced.
        OSError: if the file cannot be written; nothing is left of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, hexdigest, size = write_temporary(path, parts)
    try:
        try:
            os.link(temporary, path)  # unlike a rename, fails if the name is taken
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            if path.exists():
                raise FileExistsError(path) from None
            os.rename(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
    return hexdigest, size


def write(path: Path, data: bytes) -> None:
    """Write a small file, replacing what stands there in one step.

    Raises:
        OSError: if it cannot be written, or is a device or a pipe; what stood there stays, and
            nothing else is left.
    """
    _replace(path, [data])


def _replace(path: Path, parts: Iterable[bytes]) -> None:
    """Give ``path`` new content in one step; nothing is left where that fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not (path.is_file() or path.is_dir()):
        # root may rename a file over /dev/null, and then it is no device any more
        raise OSError(errno.EINVAL, "it is a device or a pipe, give the name of a file", str(path))
    temporary, _, _ = write_temporary(path, parts)
    try:
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def file_sha256(path: Path) -> str:
    """sha256 of a file, 64 hexadecimal digits."""
    hashed = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            hashed.update(block)
    return hashed.hexdigest()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def sweep(folder: Path, names: Iterable[str] | None = None) -> int:
    """Remove temporary files that nobody is writing any more.

    Args:
        folder: where to look (not below it).
        names: final names whose temporary files may go, if their process on this host is dead.
            None: all of them, those of other hosts too; for when every writer is known to be done.

    Returns:
        How many were removed.
    """
    wanted = None if names is None else set(names)
    removed = 0
    for path in folder.glob(".*.tmp"):
        parts = path.name[1:].rsplit(".", 3)
        if len(parts) != 4:
            continue
        name, host, writer, _ = parts
        pid = writer.partition("-")[0]
        if not pid.isdigit():
            continue
        ours = host == _HOST
        if wanted is not None and (name not in wanted or not ours):
            continue
        if ours and _is_alive(int(pid)):
            continue
        if not path.is_symlink() and path.is_dir():  # somebody else's
            continue
        path.unlink(missing_ok=True)
        removed += 1
    return removed


@dataclass(frozen=True)
class LocalStore:
    """A folder of this machine, a ``Store``.

    All methods raise ShardsFailed where the disk fails: the same command goes on later.
    """

    folder: Path

    @property
    def url(self) -> str:
        return str(self.folder)

    @contextlib.contextmanager
    def _asking(self, name: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, NotADirectoryError):
            raise ObjectMissing(f"{self.folder / name} is missing") from None
        except OSError as error:
            said = f"cannot use {self.folder / name}: {error.strerror or type(error).__name__}"
            if error.errno in NO_ROOM:  # all files that come would fail
                said += "; what is finished stays, the same command goes on from there"
                raise StorageError(said) from None
            raise ShardsFailed(said) from None

    def _regular(self, name: str) -> Path:
        """The path of a file to be read; to open a pipe would wait for ever."""
        path = self.folder / name
        if path.exists() and not path.is_file():
            raise Unreadable(f"{path} is not a regular file")
        return path

    def prepare(self) -> None:
        """See ``Store``."""
        path = self.folder
        if path.exists() and not path.is_dir():
            raise UsageError(f"{path} is a file, not a folder")
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot write into {path}: {error.strerror}") from None
        if not os.access(path, os.W_OK | os.X_OK):
            raise UsageError(f"cannot write into {path}: that is not allowed")

    def stat(self, name: str) -> Stat | None:
        """See ``Store``; a file carries no sha256."""
        try:
            with self._asking(name):
                found = (self.folder / name).stat()
                return Stat(found.st_size, None) if S_ISREG(found.st_mode) else None
        except ObjectMissing:
            return None

    def list(self, under: str = "") -> dict[str, int]:
        """See ``Store``."""
        with self._asking(under):
            found = {
                path.relative_to(self.folder).as_posix(): path.stat().st_size
                for path in (self.folder / under).rglob("*")
                if path.is_file() and not path.name.startswith(".")
            }
        return dict(sorted(found.items()))

    def top_names(self) -> builtins.list[str]:
        """See ``Store``."""
        with self._asking(""):
            return sorted(path.name for path in self.folder.iterdir())

    def read(self, name: str, max_bytes: int = MAX_BYTES) -> bytes:
        """See ``Store``."""
        with self._asking(name):
            try:
                return read_bounded(self.folder / name, max_bytes)
            except UsageError as error:
                raise Unreadable(str(error)) from None

    def stream(
        self, name: str, start: int = 0, size: int | None = None, count: int | None = None
    ) -> Iterator[bytes]:
        """See ``Store``."""
        with self._asking(name), self._regular(name).open("rb") as file:
            held = os.fstat(file.fileno()).st_size
            if size is not None and held != size:
                raise Mismatch(f"{self.folder / name} has {held:,} bytes instead of {size:,}")
            file.seek(start)
            left = held if count is None else count
            while block := file.read(min(1 << 20, left)):
                left -= len(block)
                yield block

    def write(self, name: str, data: bytes) -> None:
        """See ``Store``."""
        with self._asking(name):
            write(self.folder / name, data)

    def put_new(self, name: str, content: bytes | Path, sha256: str) -> None:
        """See ``Store``."""
        path = self.folder / name
        try:
            with self._asking(name):
                write_new(path, _blocks(content))
        except ShardsFailed:
            if not path.exists():
                raise
            if file_sha256(path) != sha256:
                raise ObjectExists(f"{path} is there already") from None

    def write_new(self, name: str, parts: Iterable[bytes], folder: Path) -> tuple[str, int]:
        """See ``Store``; the file is built beside the place that it will have."""
        path = self.folder / name
        with self._asking(name):
            try:
                return write_new(path, parts)
            except FileExistsError:
                raise ObjectExists(f"{path} is there already") from None

    def upload(self, name: str, path: Path, sha256: str) -> None:
        """See ``Store``."""
        with self._asking(name):
            _replace(self.folder / name, _blocks(path))

    def delete(self, name: str) -> None:
        """See ``Store``."""
        with self._asking(name):
            (self.folder / name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def local_copy(self, name: str, folder: Path) -> Iterator[Path]:
        """See ``Store``; the file itself."""
        path = self._regular(name)
        if self.stat(name) is None:
            raise ObjectMissing(f"{path} is missing")
        yield path


def _blocks(content: bytes | Path) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while block := file.read(1 << 20):
            yield block
