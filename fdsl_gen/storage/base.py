"""What a folder and a bucket have in common."""

import builtins
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

from fdsl_gen.core.json_text import MAX_BYTES


class Stat(NamedTuple):
    """A stored file: its size in bytes and the sha256 that it carries, if it carries one."""

    size: int
    sha256: str | None


class Version(NamedTuple):
    """A stored file: its size in bytes, and a text that changes when its content does."""

    size: int
    tag: str


class Store(Protocol):
    """Files by name, under one folder or one prefix of a bucket. Picklable; holds no credentials.

    Names are relative, with ``/`` between their parts. A file is whole or not there. What can go
    wrong is an FdslError (``errors.py``), never a built-in OSError:

    - ObjectMissing, ObjectExists: what was asked for is not there, or is;
    - UsageError: the place, its settings or the credentials cannot be right;
    - StorageError: the service, or the disk, failed; the same command may work later.
    """

    @property
    def url(self) -> str:
        """How messages call the place."""
        ...

    def prepare(self) -> None:
        """Make the place, if it is one that must be made before it can be written into.

        Raises:
            UsageError: if that is impossible.
        """
        ...

    def stat(self, name: str) -> Stat | None:
        """Size and sha256 of a file; None if there is none."""
        ...

    def list(self, under: str = "") -> dict[str, int]:
        """Bytes of every file in ``under``, a folder such as ``"__meta__"``, and below it.

        Names are sorted, and relative to the store. Files on their way are left out.
        """
        ...

    def top_names(self) -> builtins.list[str]:
        """Names of all files and folders that are not in another folder, sorted."""
        ...

    def read(self, name: str, max_bytes: int = MAX_BYTES) -> bytes:
        """The content of a small file, compared with the sha256 that it carries.

        Args:
            name: of the file.
            max_bytes: the most that it may have.

        Raises:
            ObjectMissing: if there is none.
            Unreadable: if it is larger, or no regular file.
            Mismatch: if it is not what was written.
        """
        ...

    def stream(
        self, name: str, start: int = 0, size: int | None = None, count: int | None = None
    ) -> Iterator[bytes]:
        """The content of a file from byte ``start`` on, in pieces.

        Args:
            name: of the file.
            start: less than its size, or 0.
            size: what it must have, in bytes.
            count: of bytes to read; None: all to its end.

        Raises:
            ObjectMissing: if there is none.
            Mismatch: if it has another size, or another file took its place on the way.
        """
        ...

    def write(self, name: str, data: bytes) -> None:
        """Write a small file, replacing what stands there in one step."""
        ...

    def put_new(self, name: str, content: bytes | Path, sha256: str) -> None:
        """Write a file that must not exist yet. The same content counts as written.

        Args:
            name: of the file.
            content: bytes, or the path of a local file.
            sha256: of the content, hexadecimal.

        Raises:
            ObjectExists: if there is another file of this name; it was not replaced.
        """
        ...

    def write_new(self, name: str, parts: Iterable[bytes], folder: Path) -> tuple[str, int]:
        """Write a file that must not exist yet, of parts that come one after the other.

        Args:
            name: of the file.
            parts: its content.
            folder: of this machine, where the file may be built before it is sent.

        Returns:
            Its sha256, hexadecimal, and its size in bytes.

        Raises:
            ObjectExists: if there is a file of this name; it was not replaced.
        """
        ...

    def upload(self, name: str, path: Path, sha256: str) -> None:
        """Write a file from a local one, replacing what stands there in one step."""
        ...

    def delete(self, name: str) -> None:
        """Remove a file, if it is there."""
        ...

    def local_copy(self, name: str, folder: Path) -> AbstractContextManager[Path]:
        """A local file with the content, for as long as the context lasts.

        Args:
            name: of the file.
            folder: where a copy may be put, if there must be one.

        Raises:
            ObjectMissing: if there is none.
        """
        ...
