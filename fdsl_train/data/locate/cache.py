"""Shards of a dataset in object storage, kept on the disk of this node while there is room.

All processes of a node share a cache folder, several datasets may, too. A file in it is whole and
has been checked; its name tells its content (``{shard}.{sha256}.tar``), so nothing in it ever grows
old. Its index is in ``__meta__/index``, beside the sha256 that it came with. What was located least
recently goes first.
"""

import contextlib
import json
import os
import queue
import threading
import time
from collections.abc import Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from fdsl_gen.archive.manifest import ShardEntry
from fdsl_gen.archive.paths import ShardPaths
from fdsl_gen.core.errors import FdslError, Mismatch, UsageError
from fdsl_gen.core.json_text import MAX_BYTES, read_bounded
from fdsl_gen.core.locks import StillLocked, locked
from fdsl_gen.storage import local
from fdsl_gen.storage.download import download_file, part_of, size_of_part
from fdsl_gen.storage.errors import ObjectMissing
from fdsl_gen.storage.objects import ObjectStore
from fdsl_gen.storage.threads import map_threads

KEEP_SECONDS = 10.0  # within which the caller of locate() opens the file
_WAIT_SECONDS = 0.05  # between two looks for room
_ROOM_SECONDS = 600.0  # after which nobody waits for room any longer
_THREADS = 4  # shards that are fetched ahead at a time
_INDEX_THREADS = 16


class _Held(NamedTuple):
    """A file in the cache: when it was last wanted, and the bytes that are set aside for it."""

    wanted: float
    path: Path
    bytes: int


class TarObject(NamedTuple):
    """A tar of others in a store: nobody knows its sha256, and it has no index.

    Attributes:
        file: its name in the store.
        bytes: its size.
        tag: a text that changes with its content.
    """

    file: str
    bytes: int
    tag: str


class ShardCache:
    """Brings shards to this node when they are asked for. Picklable; holds no credentials.

    Args:
        bucket: prefix of the dataset.
        shards: of the split, in order; of tars of others only the size is compared.
        folder: the cache; made if it does not exist.
        max_bytes: of whole files and of those on their way. A shard that was just located is kept
            for ``keep_seconds`` even if another one has to wait for its room.
        keep_seconds: see above. A file that is open stays readable after its removal.

    Raises:
        UsageError: if a shard is larger than the cache, or the folder cannot be written.
    """

    def __init__(
        self,
        bucket: ObjectStore,
        shards: Sequence[ShardEntry | TarObject],
        folder: Path,
        max_bytes: int,
        *,
        keep_seconds: float = KEEP_SECONDS,
    ) -> None:
        largest = max(shard.bytes for shard in shards)
        if max_bytes < largest:
            raise UsageError(
                f"a cache of {max_bytes:,} bytes cannot hold a shard of {largest:,}; give it room"
                " for the shards of two windows, 32 of them"
            )
        try:
            (folder / ShardPaths("").index).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot write into the cache {folder}: {error.strerror}") from None
        self._bucket = bucket
        self._shards = tuple(shards)
        self._folder = folder
        self._max_bytes = max_bytes
        self._keep_seconds = keep_seconds
        self._ahead: _Ahead | None = None
        self._checked: set[tuple[int, int]] = set()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_ahead": None, "_checked": set()}

    def locate(self, shard: int) -> Path:
        """The local file of a shard; waits until it is there.

        Raises:
            UsageError: if there is none, the storage refuses it, or the cache cannot be written.
            FdslError: if the disk is full; what has arrived stays.
            Mismatch: if its bytes are not those of the dataset.
            StorageError: if the storage fails.
        """
        path = self._path(shard)
        try:
            while not (self._touch(path) and self._is_whole(shard, path)):
                self.bring(shard, wait=True)
        except ObjectMissing:
            entry = self._shards[shard]
            again = "; run its fdsl-gen command again" if isinstance(entry, ShardEntry) else ""
            raise UsageError(f"shard {self._bucket.url}/{entry.file} is missing{again}") from None
        except OSError as error:
            if error.errno in local.FULL:
                raise FdslError(
                    f"cannot write {error.filename or path}: {error.strerror}; make room and start"
                    " the same command with --resume auto"
                ) from None
            raise UsageError(
                f"cannot write into the cache {self._folder}: {error.strerror}"
            ) from None
        return path

    def prefetch(self, shards: Sequence[int]) -> None:
        """Begin to bring shards that will be located soon, up to half the cache; does not wait.

        What goes wrong is told by :meth:`locate`.
        """
        if self._ahead is None or self._ahead.pid != os.getpid():
            self._ahead = _Ahead(self)
        room = self._max_bytes // 2
        for shard in shards:
            room -= self._shards[shard].bytes
            if room < 0:
                return
            if not self._path(shard).exists():
                self._ahead.ask(shard)

    def bring(self, shard: int, *, wait: bool) -> None:
        """Fetch a shard and its index, unless there is no room and it is not to ``wait`` for it."""
        entry, path = self._shards[shard], self._path(shard)
        if not self._reserve(path, entry.bytes, wait):
            return
        known, begin = None, None
        if isinstance(entry, ShardEntry):
            known, begin = entry.sha256, partial(self._bring_index, shard, path)
        download_file(self._bucket, entry.file, path, entry.bytes, known, begin=begin)
        if isinstance(entry, TarObject):
            self._check_still(entry, path)
        with contextlib.suppress(FileNotFoundError):  # it has had to give way already
            self._checked.add(_identity(path))

    def _check_still(self, entry: TarObject, path: Path) -> None:
        """Whether what came is what was listed; a revision of the Hub never changes."""
        if self._bucket.scheme == "hf" or self._bucket.version(entry.file) == entry[1:]:
            return
        path.unlink(missing_ok=True)
        raise Mismatch(
            f"{self._bucket.url}/{entry.file} was replaced while it was read; run this again"
        )

    def read_indexes(self) -> list[bytes | None]:
        """See ``ShardLocator``; the files are not kept."""
        count = len(self._shards)
        found = dict(map_threads(self._read_index, range(count), min(_INDEX_THREADS, count)))
        return [found[shard] for shard in range(count)]

    def _read_index(self, shard: int) -> bytes | None:
        entry = self._shards[shard]
        name = ShardPaths.of(entry.file).index
        with contextlib.suppress(ObjectMissing):
            return self._bucket.read(name, min(entry.bytes, MAX_BYTES))  # smaller than its shard
        return None

    def _bring_index(self, shard: int, path: Path) -> None:
        data = self._read_index(shard)
        if data is not None:  # else readers make it from the shard
            local.write(self._index(path), data)
            local.write(self._index_sha256(path), sha256(data).hexdigest().encode())

    def _mend_index(self, shard: int, path: Path) -> None:
        """Fetch the index of a shard again, unless it is what came."""
        with contextlib.suppress(FileNotFoundError):
            found = local.file_sha256(self._index(path)).encode()
            with contextlib.suppress(FileNotFoundError):
                if read_bounded(self._index_sha256(path)) == found:
                    return
            self._index(path).unlink()
            self._bring_index(shard, path)

    def _is_whole(self, shard: int, path: Path) -> bool:
        """Whether a file of the cache is still what came, looked at once by every process.

        What has been damaged since is removed, and so fetched again.
        """
        entry = self._shards[shard]
        try:
            identity = _identity(path)
            if identity in self._checked:
                return True
            if identity[1] == entry.bytes and self._is_sound(shard, path):
                self._checked.add(identity)
                return True
        except FileNotFoundError:  # it has had to give way
            return False
        with self._alone(), contextlib.suppress(FileNotFoundError):
            if _identity(path) == identity:  # unless another process has been faster
                self._remove(path)
        return False

    def _is_sound(self, shard: int, path: Path) -> bool:
        """Whether a file of the right size holds what it should; of tars of others nobody knows."""
        entry = self._shards[shard]
        if isinstance(entry, TarObject):
            return True
        if local.file_sha256(path) != entry.sha256:
            return False
        self._mend_index(shard, path)
        return True

    def _path(self, shard: int) -> Path:
        entry = self._shards[shard]
        if isinstance(entry, TarObject):  # whose name may be that of any path
            named = sha256(json.dumps([self._bucket.url, *entry]).encode()).hexdigest()
            return self._folder / f"{named[:32]}.tar"
        return self._folder / f"{ShardPaths.of(entry.file).stem}.{entry.sha256[:16]}.tar"

    def _index(self, path: Path) -> Path:
        return self._folder / ShardPaths.of(path.name).index

    def _index_sha256(self, path: Path) -> Path:
        return self._index(path).with_suffix(".sha256")

    def _alone(self) -> contextlib.AbstractContextManager[object]:
        """No other process of this node looks for room meanwhile."""
        return locked(self._folder / ".lock")

    def _touch(self, path: Path) -> bool:
        """Whether a shard is there; if so, it is kept for a while."""
        with self._alone():
            try:
                now = time.time()  # not the clock of a file server, which may go ahead
                os.utime(path, (now, now))
            except FileNotFoundError:
                return False
            return True

    def _reserve(self, path: Path, size: int, wait: bool) -> bool:
        """Set room aside, which the file of arriving bytes stands for; whether there was any."""
        part = part_of(path, size)
        end = time.monotonic() + _ROOM_SECONDS
        while True:
            with self._alone():
                if path.exists() or part.exists():
                    return True
                if self._make_room(size):
                    part.touch()
                    return True
            if not wait:
                return False
            if time.monotonic() >= end:
                raise UsageError(
                    f"no room in the cache {self._folder} for {_ROOM_SECONDS:.0f} s: all of its"
                    f" {self._max_bytes:,} bytes are in use; raise --cache-gb"
                )
            time.sleep(_WAIT_SECONDS)

    def _make_room(self, size: int) -> bool:
        held = sorted(self._held())
        total = sum(one.bytes for one in held)
        for one in held:
            if total + size <= self._max_bytes:
                break
            # A time far ahead is that of a clock which has been put right since.
            age = abs(time.time() - one.wanted)
            if age >= self._keep_seconds and self._remove(one.path):
                total -= one.bytes
        return total + size <= self._max_bytes

    def _held(self) -> list[_Held]:
        while True:
            found = [p for p in self._folder.iterdir() if p.suffix in (".tar", ".part")]
            with contextlib.suppress(FileNotFoundError):  # a part was finished: look again
                return [_Held(p.stat().st_mtime, p, _size(p)) for p in found]

    def _remove(self, path: Path) -> bool:
        """Remove a shard, or the part of one that nobody is fetching any more."""
        if path.suffix == ".part":
            try:
                with locked(path, 0):
                    path.unlink(missing_ok=True)
            except StillLocked:
                return False
            return True
        path.unlink(missing_ok=True)
        self._index(path).unlink(missing_ok=True)
        self._index_sha256(path).unlink(missing_ok=True)
        return True


def _identity(path: Path) -> tuple[int, int]:
    """Which file stands at a path, and its bytes."""
    found = path.stat()
    return found.st_ino, found.st_size


def _size(path: Path) -> int:
    return path.stat().st_size if path.suffix == ".tar" else size_of_part(path)


class _Ahead:
    """Threads of this process that bring shards before they are located."""

    def __init__(self, cache: ShardCache) -> None:
        self.pid = os.getpid()
        self._cache = cache
        self._asked: set[int] = set()
        self._queue: queue.SimpleQueue[int] = queue.SimpleQueue()
        for _ in range(_THREADS):
            # A daemon, for the end of a process must not wait for a download.
            threading.Thread(target=self._work, daemon=True).start()

    def ask(self, shard: int) -> None:
        """Bring a shard as soon as a thread is free."""
        if shard not in self._asked:
            self._asked.add(shard)
            self._queue.put(shard)

    def _work(self) -> None:
        while True:
            shard = self._queue.get()
            with contextlib.suppress(FdslError, OSError):
                self._cache.bring(shard, wait=False)
            self._asked.discard(shard)
