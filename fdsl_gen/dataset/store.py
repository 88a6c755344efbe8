"""A dataset while it is made, in a folder or under a prefix of a bucket.

It belongs to a recipe (``lock.py``). A shard is written whole or not at all and never replaced; its
index and its marker follow, and the manifest comes when all are there.
"""

import json
import os
import socket
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import fdsl_gen
from fdsl_gen.archive.manifest import ShardEntry
from fdsl_gen.archive.paths import CATEGORIES, LOCK, MANIFEST, ShardPaths
from fdsl_gen.core import settings
from fdsl_gen.core.errors import Mismatch, UsageError
from fdsl_gen.core.json_text import parse_json
from fdsl_gen.dataset.inputs import attach_stored, contents_of, store_inputs
from fdsl_gen.dataset.lock import check_lock, locked_recipe, write_lock
from fdsl_gen.dataset.shard_check import is_intact
from fdsl_gen.dataset.work_folder import WorkFolder, temporary_work_folder, work_folder
from fdsl_gen.recipe.order import Shard, shards_of
from fdsl_gen.recipe.recipe import Recipe
from fdsl_gen.storage.base import Store
from fdsl_gen.storage.errors import ObjectMissing, Unreadable
from fdsl_gen.storage.local import LocalStore
from fdsl_gen.storage.open import store_at
from fdsl_gen.storage.options import StorageOptions
from fdsl_gen.storage.threads import SMALL_REQUESTS, map_threads


@dataclass(frozen=True)
class DatasetStore:
    """The files of a dataset and what they say. Picklable: workers get one with their tasks.

    Attributes:
        store: where the dataset stands.
        work: its work folder on this machine.
        recipe: what it is made from.
    """

    store: Store
    work: WorkFolder
    recipe: Recipe

    @property
    def url(self) -> str:
        """How messages call the dataset."""
        return self.store.url

    @property
    def categories(self) -> Path:
        """The folder of this machine with the categories, once :meth:`fetch` was called."""
        return self.work.path / CATEGORIES

    def paths(self, shard: Shard) -> ShardPaths:
        """The names of the files of a shard."""
        return ShardPaths(shard.stem(self.recipe.name))

    def fetch(self) -> None:
        """Bring to this machine what shards are rendered with: categories, the source image.

        Raises:
            UsageError: if this host does not see the dataset, or it belongs to another recipe.
            StorageError: if it was deleted.
        """
        self.work.check_seen()
        check_lock(self.store, self.recipe.lock_bytes())
        inputs = self.recipe.variant.inputs.values()
        self.work.fetch(self.store, {*self.store.list(CATEGORIES), *inputs})

    def prepare(self) -> None:
        """See that files can be written.

        Raises:
            StorageError: if a folder was deleted meanwhile: a write would make it anew, without
                its recipe.
        """
        self.work.prepare()

    def write(self, name: str, data: bytes) -> None:
        """Write a small file of the dataset, replacing what stands there.

        Raises:
            StorageError: if a folder was deleted meanwhile, or the storage fails.
        """
        self.work.keep(name, data)
        self.store.write(name, data)

    def write_categories(self, path: Path, data: bytes) -> None:
        """Write a file in :attr:`categories`."""
        self.write(f"{CATEGORIES}/{path.name}", data)

    def write_if_changed(self, name: str, data: bytes) -> None:
        """Write a small file, unless it has this content already."""
        if not has_content(self.store, name, data):
            self.write(name, data)

    def is_complete(self) -> bool:
        """Whether the manifest is there."""
        return self.store.stat(MANIFEST) is not None

    def manifest_bytes(self) -> bytes | None:
        """The content of the manifest; None if there is none."""
        try:
            return self.store.read(MANIFEST)
        except ObjectMissing:
            return None
        except Mismatch:
            return b""  # damaged: whoever parses it says so

    def is_intact(self, entry: ShardEntry) -> bool:
        """Whether a shard has the size and the sha256 that are claimed of it."""
        return is_intact(self.store, entry)

    def has(self, shard: Shard) -> bool:
        """Whether a shard stands under its final name, marked or not."""
        return self.store.stat(self.paths(shard).tar) is not None

    def write_tar(self, shard: Shard, parts: Iterable[bytes]) -> tuple[str, int]:
        """Write a shard; its sha256 and its size in bytes.

        Raises:
            ObjectExists: if it is there already; it was not replaced.
            StorageError: if a folder was deleted meanwhile, or the storage fails.
        """
        self.work.prepare()
        return self.store.write_new(self.paths(shard).tar, parts, self.work.path)

    def local_copy(self, shard: Shard) -> AbstractContextManager[Path]:
        """A local file with the content of a shard, for as long as the context lasts."""
        self.work.prepare()
        return self.store.local_copy(self.paths(shard).tar, self.work.path)

    def shards_on_disk(self, shards: list[Shard], workers: int) -> list[Shard]:
        """Which of the shards to be made this machine must have room for at a time."""
        return self.work.shards_on_disk(shards, workers)

    def mark(self, shard: Shard, entry: ShardEntry, **facts: Any) -> None:
        """Note that a shard is finished; ``facts`` of the run go into the marker only."""
        run = {"host": socket.gethostname(), "pid": os.getpid(), "version": fdsl_gen.__version__}
        claim = settings.to_dict(entry, defaults=True)
        data = {"shard": claim, "digest": settings.digest(claim), "run": run | facts}
        self.write(self.paths(shard).marker, (json.dumps(data, indent=1) + "\n").encode())

    def entry(self, shard: Shard) -> ShardEntry | None:
        """What the marker of a shard says; None if there is none or its file is gone or cut."""
        there = self.store.stat(self.paths(shard).tar)
        return None if there is None else self._entry(shard, there.size)

    def _entry(self, shard: Shard, size: int) -> ShardEntry | None:
        paths = self.paths(shard)
        try:
            data = self.store.read(paths.marker)
        except (ObjectMissing, Mismatch, Unreadable):
            return None
        entry = read_marker(data, f"{self.url}/{paths.marker}")
        if entry is None or entry.file != paths.tar or entry.samples != shard.num_samples:
            return None  # it says nothing of this shard
        return entry if entry.bytes == size else None

    def entries(self) -> dict[Shard, ShardEntry | None]:
        """What the marker of every shard says, in order; see :meth:`entry`."""
        shards = shards_of(self.recipe)
        sizes = self.store.list()
        found: dict[Shard, ShardEntry | None] = dict.fromkeys(shards)
        paths = {shard: self.paths(shard) for shard in shards}
        marked = [s for s in shards if paths[s].tar in sizes and paths[s].marker in sizes]

        def read(shard: Shard) -> ShardEntry | None:
            return self._entry(shard, sizes[paths[shard].tar])

        found.update(map_threads(read, marked, min(SMALL_REQUESTS, len(marked))))
        return found

    def missing(self) -> list[Shard]:
        """Shards without a valid marker, in order."""
        return [shard for shard, entry in self.entries().items() if entry is None]

    def sweep(self, shards: list[Shard] | None = None) -> int:
        """Remove what dead processes left of these shards; None: of anything, on any host."""
        return self.work.sweep(None if shards is None else [self.paths(s) for s in shards])


def read_marker(data: bytes, where: str) -> ShardEntry | None:
    """The content of a marker; None if it is damaged, and so says nothing of its shard."""
    try:
        found = parse_json(data, where)
        if settings.digest(found["shard"]) != found["digest"]:
            return None
        return settings.from_dict(ShardEntry, found["shard"], where)
    except (UsageError, KeyError, TypeError):
        return None


def has_content(store: Store, name: str, data: bytes) -> bool:
    """Whether a small file is there and has this content."""
    there = store.stat(name)
    if there is not None and there.sha256 is not None:
        return there.sha256 == sha256(data).hexdigest()
    try:
        return store.read(name) == data
    except ObjectMissing:
        return False


def lock_dataset(
    place: str | Path | Store,
    recipe: Recipe,
    *,
    overwrite: bool = False,
    storage: StorageOptions | None = None,
    tmp_dir: Path | None = None,
) -> DatasetStore:
    """Make a place that of ``recipe``, or find that it already is.

    Args:
        place: a folder, which is made if it does not exist, or ``s3://bucket/prefix``.
        recipe: what is to stand in it.
        overwrite: delete what an earlier run of fdsl-gen made there. Nothing else is deleted.
        storage: how to reach object storage.
        tmp_dir: see ``work_folder``.

    Raises:
        UsageError: if it belongs to another recipe, holds something else, or cannot be reached or
            written.
    """
    store = _absolute(store_at(place, storage))
    with temporary_work_folder(store) as work:
        recipe = attach_stored(store, recipe, work)
        contents = contents_of(recipe)
    write_lock(store, recipe.lock_bytes(), overwrite=overwrite)
    work = work_folder(store, recipe.recipe_digest, tmp_dir)
    work.prepare()
    recipe = store_inputs(recipe, contents, work.path)
    dataset = DatasetStore(store, work, recipe)
    for name in recipe.variant.inputs.values():
        dataset.write_if_changed(name, (work.path / name).read_bytes())
    return dataset


def open_for_writing(
    place: str | Path | Store,
    storage: StorageOptions | None = None,
    tmp_dir: Path | None = None,
) -> DatasetStore:
    """A dataset that a run has begun, in a folder or at ``s3://bucket/prefix``.

    Raises:
        UsageError: if there is none.
    """
    store = store_at(place, storage)
    try:
        recipe = locked_recipe(store.read(LOCK), f"{store.url}/{LOCK}")
    except ObjectMissing:
        raise UsageError(_no_dataset(store)) from None
    work = work_folder(store, recipe.recipe_digest, tmp_dir)
    return DatasetStore(store, work, attach_stored(store, recipe, work))


def _absolute(store: Store) -> Store:
    """A folder by its absolute path, because workers may stand in another one."""
    return LocalStore(store.folder.absolute()) if isinstance(store, LocalStore) else store


def _no_dataset(store: Store) -> str:
    if not isinstance(store, LocalStore):
        return f"{store.url} is not a dataset of fdsl-gen"
    what = "is not a dataset folder of fdsl-gen" if store.folder.exists() else "does not exist"
    return f"{store.url} {what}"
