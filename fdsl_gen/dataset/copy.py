"""Copying finished datasets to object storage and back.

The recipe goes first, the lock of the place, and the manifest last: where it stands, all is there.
What is there already is told by its sha256 and not sent again.
"""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fdsl_gen.archive.manifest import Manifest, ShardEntry
from fdsl_gen.archive.paths import (
    MANIFEST,
    ROOT_FILES,
    SOURCE_IMAGE,
    ShardPaths,
    is_category_file,
)
from fdsl_gen.core.errors import Mismatch, ShardsFailed, UsageError
from fdsl_gen.dataset.lock import lock_bytes_of, write_lock
from fdsl_gen.dataset.shard_check import check_shard_file
from fdsl_gen.dataset.store import has_content
from fdsl_gen.executors import Observer
from fdsl_gen.storage.base import Store
from fdsl_gen.storage.download import download_file
from fdsl_gen.storage.errors import ObjectMissing
from fdsl_gen.storage.local import LocalStore
from fdsl_gen.storage.manifest import read_manifest
from fdsl_gen.storage.objects import ObjectStore
from fdsl_gen.storage.threads import SMALL_REQUESTS, map_threads


@dataclass
class Copied:
    """What a copy did: files and bytes that were moved, and files that were there."""

    files: int = 0
    bytes: int = 0
    skipped: int = 0

    def add(self, size: int) -> None:
        """Count a file of which ``size`` bytes were moved; 0: it was there."""
        self.files += size > 0
        self.skipped += size == 0
        self.bytes += size


def _entries(manifest: Manifest) -> list[ShardEntry]:
    """The shards of a dataset; their names were checked with the manifest."""
    return [entry for split in manifest.splits.values() for entry in split.shards]


def _parts(entries: list[ShardEntry], names: Iterable[str]) -> list[str]:
    """Those of the files that fdsl-gen puts beside these shards, the manifest apart."""
    known = {*ROOT_FILES, SOURCE_IMAGE} - {MANIFEST}
    for entry in entries:
        paths = ShardPaths.of(entry.file)
        known |= {paths.marker, paths.index}
    return [name for name in names if name in known or is_category_file(name)]


def _copy_small(source: Store, target: Store, name: str, there: dict[str, int]) -> int:
    """Copy a small file, unless ``there``, what the target lists, has it; its bytes, or 0."""
    data = source.read(name)
    if there.get(name) == len(data) and has_content(target, name, data):
        return 0
    target.write(name, data)
    return len(data)


def upload(folder: Path, bucket: ObjectStore, *, jobs: int, watch: Observer) -> Copied:
    """Copy a finished dataset folder under a prefix.

    Args:
        folder: finished dataset.
        bucket: prefix; empty, or one where the same dataset was begun.
        jobs: files at a time.
        watch: told of the images of every shard.

    Raises:
        UsageError: if the folder is not finished or the prefix holds something else.
        Mismatch: if a shard is not what the manifest says; nothing of it was sent.
        StorageError: if the storage fails; what was sent stays, the manifest is not there.
    """
    here = LocalStore(folder)
    manifest = read_manifest(folder)
    entries = _entries(manifest)
    write_lock(bucket, lock_bytes_of(manifest))
    there = bucket.list()
    if MANIFEST in there:
        _refuse_another_copy(bucket, manifest)

    def send(entry: ShardEntry) -> int:
        name, size = entry.file, entry.bytes
        if there.get(name) == size and bucket.stat(name) == (size, entry.sha256):
            return 0
        path = folder / name
        check_shard_file(path, entry)
        bucket.upload(name, path, entry.sha256)
        return size

    def send_small(name: str) -> int:
        return _copy_small(here, bucket, name, there)

    copied = Copied()
    for entry, size in map_threads(send, entries, jobs):
        copied.add(size)
        watch.images(entry.samples)
    for _, size in map_threads(send_small, _parts(entries, here.list()), SMALL_REQUESTS):
        copied.add(size)
    copied.add(send_small(MANIFEST))
    return copied


def _refuse_another_copy(bucket: ObjectStore, manifest: Manifest) -> None:
    """Equal pixels in other bytes make another copy; two must not be mixed."""
    if bucket.read(MANIFEST) != manifest.to_json():
        raise UsageError(
            f"{bucket.url} holds a finished copy of this dataset whose files differ; give another"
            f" place, or delete {bucket.url}/{MANIFEST} to have it replaced"
        )


def download(bucket: ObjectStore, folder: Path, *, jobs: int, watch: Observer) -> Copied:
    """Copy a finished dataset from a prefix into a folder.

    Args:
        bucket: prefix of a finished dataset.
        folder: new, empty, or one where the same dataset was begun.
        jobs: files at a time.
        watch: told of the images of every shard.

    Raises:
        UsageError: if there is no finished dataset, or the folder holds something else.
        Mismatch: if a shard, there or here, is not what the manifest says.
        ShardsFailed: if the disk has no room.
        StorageError: if the storage fails; what was fetched stays, the manifest is not there.
    """
    manifest = read_manifest(bucket)
    entries = _entries(manifest)
    here = LocalStore(folder)
    write_lock(here, lock_bytes_of(manifest))
    _check_space(folder, entries)
    there = here.list()

    def bring(entry: ShardEntry) -> int:
        path = folder / entry.file
        if path.exists():
            check_shard_file(path, entry)
            return 0
        try:
            download_file(bucket, entry.file, path, entry.bytes, entry.sha256)
        except ObjectMissing as error:
            raise Mismatch(str(error)) from None
        return entry.bytes

    def bring_small(name: str) -> int:
        return _copy_small(bucket, here, name, there)

    copied = Copied()
    try:
        for entry, size in map_threads(bring, entries, jobs):
            copied.add(size)
            watch.images(entry.samples)
        names = _parts(entries, bucket.list())
        for _, size in map_threads(bring_small, names, SMALL_REQUESTS):
            copied.add(size)
        copied.add(bring_small(MANIFEST))
    except OSError as error:
        raise ShardsFailed(
            f"cannot write into {folder}: {error.strerror}; the same command goes on from here"
        ) from None
    return copied


def _check_space(folder: Path, entries: list[ShardEntry]) -> None:
    needed = sum(entry.bytes for entry in entries if not (folder / entry.file).exists())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ShardsFailed(
            f"not enough space in {folder}: {needed / 1e9:.1f} GB are needed and"
            f" {free / 1e9:.1f} GB are free"
        )
