"""Where files of a dataset stand on this machine while it is made.

Shards are rendered with small files: categories that were searched for, the source image of a
dataset made from one. Of a dataset in a folder they are the folder's own. For one in a bucket there
is a folder of this machine for copies of them, and for shards on their way.
"""

import contextlib
import os
import socket
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from fdsl_gen.archive.paths import CATEGORIES, LOCK, META, SOURCE_IMAGE, ShardPaths
from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.user_dirs import private_folder
from fdsl_gen.dataset.lock import was_deleted
from fdsl_gen.recipe.order import Shard
from fdsl_gen.storage import local
from fdsl_gen.storage.base import Store
from fdsl_gen.storage.local import LocalStore
from fdsl_gen.storage.objects import ObjectStore
from fdsl_gen.storage.threads import SMALL_REQUESTS, map_threads


class WorkFolder(Protocol):
    """A folder of this machine in which files have the names that they have in the dataset."""

    @property
    def path(self) -> Path:
        """The folder; the same on every machine."""
        ...

    def check_seen(self) -> None:
        """Refuse a machine that does not see what it should.

        Raises:
            UsageError: if this is one.
        """
        ...

    def prepare(self) -> None:
        """See that files can be written here.

        Raises:
            StorageError: if the dataset was deleted meanwhile.
        """
        ...

    def fetch(self, store: Store, names: Iterable[str]) -> None:
        """Bring files of the dataset here that are not here yet."""
        ...

    def keep(self, name: str, data: bytes) -> None:
        """Keep a copy of a file of the dataset that is about to be written."""
        ...

    def shards_on_disk(self, shards: list[Shard], workers: int) -> list[Shard]:
        """Which of the shards to be made this machine must have room for at a time."""
        ...

    def sweep(self, shards: list[ShardPaths] | None) -> int:
        """Remove what dead processes left here; see ``DatasetStore.sweep``."""
        ...


@dataclass(frozen=True)
class InPlace:
    """The folder of the dataset itself; see ``WorkFolder``."""

    path: Path

    def check_seen(self) -> None:
        """Refuse a host that does not see the folder."""
        if not (self.path / META).is_dir():
            raise UsageError(
                f"{socket.gethostname()} does not see {self.path}; give a folder that all hosts"
                " share, or s3://BUCKET/PREFIX"
            )

    def prepare(self) -> None:
        """Notice that the folder was deleted: a write would make it anew, without its recipe."""
        if not (self.path / LOCK).exists():
            raise was_deleted(str(self.path))

    def fetch(self, store: Store, names: Iterable[str]) -> None:
        """Nothing: they are here."""

    def keep(self, name: str, data: bytes) -> None:
        """Nothing, but for the look whether the folder is still there."""
        self.prepare()

    def shards_on_disk(self, shards: list[Shard], workers: int) -> list[Shard]:
        """All of them."""
        return shards

    def sweep(self, shards: list[ShardPaths] | None) -> int:
        """Remove temporary files; None: those of any file."""
        return _sweep(self.path, shards)


@dataclass(frozen=True)
class Scratch:
    """A folder of this user, with a name that others can guess; see ``WorkFolder``."""

    path: Path

    def check_seen(self) -> None:
        """Every machine sees a bucket, or is told otherwise by its first request."""

    def prepare(self) -> None:
        """Make the folder."""
        private_folder(self.path.parent, self.path.name)

    def fetch(self, store: Store, names: Iterable[str]) -> None:
        """Copy those that are not here yet."""
        absent = [name for name in names if not (self.path / name).exists()]
        if absent:
            self.prepare()
        for name, data in map_threads(store.read, absent, min(SMALL_REQUESTS, len(absent))):
            local.write(self.path / name, data)

    def keep(self, name: str, data: bytes) -> None:
        """Keep what shards are rendered with."""
        if name == SOURCE_IMAGE or name.startswith(f"{CATEGORIES}/"):
            self.prepare()
            local.write(self.path / name, data)

    def shards_on_disk(self, shards: list[Shard], workers: int) -> list[Shard]:
        """One for each worker."""
        return shards[:workers]

    def sweep(self, shards: list[ShardPaths] | None) -> int:
        """Remove temporary files; None: the copies and the folder as well."""
        swept = _sweep(self.path, shards)
        if shards is None:
            categories = self.path / CATEGORIES
            for file in (*categories.glob("*"), self.path / SOURCE_IMAGE):
                file.unlink(missing_ok=True)
            for folder in (categories, self.path / META, self.path):
                with contextlib.suppress(OSError):  # another process is still at work in it
                    folder.rmdir()
        return swept


def _sweep(path: Path, shards: list[ShardPaths] | None) -> int:
    meta = path / META
    if shards is None:
        folders = [path, meta, *(p for p in meta.glob("*") if p.is_dir())]
        return sum(local.sweep(folder) for folder in folders)
    names = [Path(name).name for shard in shards for name in shard.all]
    return sum(local.sweep(folder, names) for folder in (path, meta / "index", meta / "markers"))


@contextlib.contextmanager
def temporary_work_folder(store: Store) -> Iterator[WorkFolder]:
    """A work folder for as long as the context lasts, of a dataset whose recipe is not complete."""
    if isinstance(store, LocalStore):
        yield InPlace(store.folder)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Scratch(Path(folder))


def work_folder(store: Store, recipe_digest: str, tmp_dir: Path | None = None) -> WorkFolder:
    """The work folder of a dataset.

    Args:
        store: where the dataset stands.
        recipe_digest: of the recipe of the dataset.
        tmp_dir: where a folder for a dataset in a bucket may be; None: the system's temporary
            folder. There is one for each user, dataset and recipe.
    """
    if isinstance(store, LocalStore):
        return InPlace(store.folder)
    endpoint = store.options.endpoint_url if isinstance(store, ObjectStore) else None
    known = f"{endpoint} {store.url} {recipe_digest}"
    digest = sha256(known.encode()).hexdigest()[:16]
    base = (tmp_dir or Path(tempfile.gettempdir())).absolute()
    return Scratch(base / f"fdsl-{os.getuid()}-{digest}")
