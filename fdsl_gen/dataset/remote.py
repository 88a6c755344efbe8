"""A dataset under a prefix of a bucket, used like a folder.

The names are those of a folder (``folder.py``). A shard is built whole on this machine and sent
whole; its index and its marker follow, and the manifest comes when all are there. What shards are
rendered with - categories that were searched for, the source image of a dataset made from one -
stands in the bucket, too, and is brought to every machine that renders.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from fdsl_gen.archive.manifest import ShardEntry
from fdsl_gen.archive.paths import MANIFEST, META
from fdsl_gen.core.errors import Mismatch, StorageError, UsageError
from fdsl_gen.core.user_dirs import private_folder
from fdsl_gen.dataset import source_image
from fdsl_gen.dataset.folder import ROOT_FILES, Folder, claim, open_folder, read_marker
from fdsl_gen.dataset.lock import (
    OWNER,
    OWNER_NAME,
    owned_recipe,
    owner_bytes,
    read_owner,
    refuse_foreign,
    refuse_other,
)
from fdsl_gen.dataset.shard_check import is_intact
from fdsl_gen.recipe.order import Shard, shards_of
from fdsl_gen.recipe.recipe import Recipe, recipe_from_dict
from fdsl_gen.storage import local
from fdsl_gen.storage.errors import ObjectExists, ObjectMissing
from fdsl_gen.storage.objects import ObjectStore
from fdsl_gen.storage.options import StorageOptions
from fdsl_gen.storage.threads import map_threads
from fdsl_gen.storage.url import is_remote

JOBS = 16  # small requests at a time


@dataclass(frozen=True)
class RemoteFolder(Folder):
    """A dataset in ``bucket``; ``path`` is a folder of this machine for what is under way.

    That folder has the same path on every machine and holds, besides shards that are being built,
    copies of the categories and of the source image.
    """

    bucket: ObjectStore

    @property
    def where(self) -> str:
        return self.bucket.url

    def _make(self) -> None:
        """Make the folder of this machine, which has a name that others can guess."""
        private_folder(self.path.parent, self.path.name)

    def name(self, path: Path) -> str:
        """The object that a path of a folder stands for."""
        return path.relative_to(self.path).as_posix()

    def _is_needed_here(self, path: Path) -> bool:
        return path.parent == self.categories or path == self.meta / source_image.SOURCE_IMAGE

    def fetch(self) -> None:
        check_owner(self.bucket, self.recipe)
        wanted = list(self.bucket.list(f"{META}/categories"))
        if isinstance(self.recipe.variant, source_image.FromSourceImage):
            wanted.append(f"{META}/{source_image.SOURCE_IMAGE}")
        if wanted:
            self._make()
        absent = [name for name in wanted if not (self.path / name).exists()]
        for name, data in map_threads(self.bucket.read, absent, min(JOBS, len(absent))):
            local.write(self.path / name, data)

    def check_present(self) -> None:
        """Here :meth:`fetch` notices it."""

    def write(self, path: Path, data: bytes) -> None:
        if self._is_needed_here(path):
            self._make()
            local.write(path, data)
        self.bucket.write(self.name(path), data)

    def refresh(self, path: Path, data: bytes) -> None:
        there = self.bucket.stat(self.name(path))
        if there is None or there.sha256 != sha256(data).hexdigest():
            self.write(path, data)

    def is_complete(self) -> bool:
        return self.bucket.stat(MANIFEST) is not None

    def manifest_bytes(self) -> bytes | None:
        try:
            return self.bucket.read(MANIFEST)
        except ObjectMissing:
            return None
        except Mismatch:
            return b""  # damaged: whoever parses it says so

    def is_intact(self, entry: ShardEntry) -> bool:
        return is_intact(self.bucket, entry)

    def has(self, shard: Shard) -> bool:
        return self.bucket.stat(self.name(self.tar(shard))) is not None

    def write_tar(self, shard: Shard, parts: Iterable[bytes]) -> tuple[str, int]:
        tar = self.tar(shard)
        self._make()
        built, hexdigest, size = local.write_temporary(tar, parts)
        try:
            self.bucket.put_new(self.name(tar), built, hexdigest)
        finally:
            built.unlink(missing_ok=True)
        return hexdigest, size

    @contextlib.contextmanager
    def opened(self, shard: Shard) -> Iterator[Path]:
        tar = self.tar(shard)
        self._make()
        with self.bucket.local_copy(self.name(tar), self.path) as here:
            yield here

    def kept_at_once(self, shards: list[Shard], workers: int) -> list[Shard]:
        return shards[:workers]

    def entry(self, shard: Shard) -> ShardEntry | None:
        there = self.bucket.stat(self.name(self.tar(shard)))
        return None if there is None else self._entry(shard, there.size)

    def _entry(self, shard: Shard, size: int) -> ShardEntry | None:
        name = self.name(self.marker(shard))
        try:
            entry = read_marker(self.bucket.read(name), f"{self.where}/{name}")
        except (ObjectMissing, Mismatch):
            return None
        return entry if entry is not None and entry.bytes == size else None

    def entries(self) -> dict[Shard, ShardEntry | None]:
        shards = shards_of(self.recipe)
        sizes = self.bucket.list()
        found: dict[Shard, ShardEntry | None] = dict.fromkeys(shards)
        marked = [
            shard
            for shard in shards
            if self.name(self.tar(shard)) in sizes and self.name(self.marker(shard)) in sizes
        ]

        def read(shard: Shard) -> ShardEntry | None:
            return self._entry(shard, sizes[self.name(self.tar(shard))])

        found.update(map_threads(read, marked, min(JOBS, len(marked))))
        return found

    def sweep(self, shards: list[Shard] | None = None) -> int:
        """Remove what dead processes left here; None: of any shard, and the copies as well."""
        if shards is not None:
            return local.sweep(self.path, [self.tar(shard).name for shard in shards])
        swept = sum(local.sweep(folder) for folder in (self.path, self.meta, self.categories))
        for file in (*self.categories.glob("*"), self.meta / source_image.SOURCE_IMAGE):
            file.unlink(missing_ok=True)
        for folder in (self.categories, self.meta, self.path):
            with contextlib.suppress(OSError):  # another process is still at work in it
                folder.rmdir()
        return swept


def check_owner(bucket: ObjectStore, recipe: Recipe) -> None:
    """See that a prefix is still that of a recipe.

    A service without conditional requests may have let two runs begin at once.

    Raises:
        StorageError: if it is not.
    """
    try:
        theirs = bucket.read(OWNER_NAME)
    except ObjectMissing:
        raise StorageError(f"{bucket.url} was deleted while this ran") from None
    refuse_other(bucket.url, theirs, owner_bytes(recipe))


def claim_prefix(bucket: ObjectStore, ours: bytes, *, overwrite: bool = False) -> None:
    """Make a prefix that of a recipe, or find that it already is.

    Args:
        bucket: the prefix.
        ours: content of ``recipe.json``.
        overwrite: delete another dataset that stands there.

    Raises:
        UsageError: if it belongs to another recipe or holds something else.
    """
    try:
        theirs = bucket.read(OWNER_NAME)
    except ObjectMissing:
        refuse_foreign(bucket.url, bucket.list())
    else:
        if not overwrite:
            refuse_other(bucket.url, theirs, ours)
            return
        _empty(bucket, theirs)
    with contextlib.suppress(ObjectExists):
        bucket.put_new(OWNER_NAME, ours, sha256(ours).hexdigest())
    refuse_other(bucket.url, bucket.read(OWNER_NAME), ours)


def _scratch(bucket: ObjectStore, recipe: Recipe, tmp_dir: Path | None) -> Path:
    """Where a dataset is built: one place for each user, dataset and recipe, on every machine."""
    known = f"{bucket.options.endpoint_url} {bucket.url} {recipe.recipe_digest}"
    digest = sha256(known.encode()).hexdigest()[:16]
    return (tmp_dir or Path(tempfile.gettempdir())).absolute() / f"fdsl-{os.getuid()}-{digest}"


def _with_source_image(bucket: ObjectStore, recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with the image that its dataset holds, if it names none itself."""
    if isinstance(recipe.variant, source_image.FromSourceImage) and recipe.variant.source is None:
        with contextlib.suppress(ObjectMissing):
            image = bucket.read(f"{META}/{source_image.SOURCE_IMAGE}")
            private_folder(folder.parent, folder.name)
            local.write(folder / META / source_image.SOURCE_IMAGE, image)
    return source_image.attach_source(recipe, folder)


def claim_remote(
    bucket: ObjectStore, recipe: Recipe, *, overwrite: bool = False, tmp_dir: Path | None = None
) -> RemoteFolder:
    """Make a prefix the folder of ``recipe``, or find that it already is; like ``folder.claim``.

    Raises:
        UsageError: if it belongs to another recipe, holds something else, or cannot be reached.
    """
    with tempfile.TemporaryDirectory() as here:
        recipe = _with_source_image(bucket, recipe, Path(here))
        image = source_image.source_image_of(recipe)
    claim_prefix(bucket, owner_bytes(recipe), overwrite=overwrite)
    scratch = _scratch(bucket, recipe, tmp_dir)
    private_folder(scratch.parent, scratch.name)
    folder = RemoteFolder(scratch, source_image.store_source(recipe, image, scratch), bucket)
    if image is not None:
        kept = folder.meta / source_image.SOURCE_IMAGE
        folder.refresh(kept, kept.read_bytes())
    return folder


def _empty(bucket: ObjectStore, theirs: bytes) -> None:
    """Delete a dataset: the objects that its recipe names, the manifest first, the owner last."""
    owner = read_owner(theirs, f"{bucket.url}/{OWNER_NAME}")
    folder = RemoteFolder(Path("/"), recipe_from_dict(owner["recipe"], OWNER), bucket)
    doomed = [*ROOT_FILES, f"{META}/{source_image.SOURCE_IMAGE}"]
    for shard in shards_of(folder.recipe):
        files = (folder.tar(shard), folder.index(shard), folder.marker(shard))
        doomed += [folder.name(file) for file in files]
    doomed += bucket.list(f"{META}/categories")
    bucket.delete(doomed[0])
    there = bucket.list()
    for _ in map_threads(bucket.delete, [name for name in doomed if name in there], JOBS):
        pass
    bucket.delete(OWNER_NAME)


def open_remote(bucket: ObjectStore, tmp_dir: Path | None = None) -> RemoteFolder:
    """A dataset that a run has begun; like ``folder.open_folder``.

    Raises:
        UsageError: if there is none.
    """
    try:
        recipe = owned_recipe(bucket.read(OWNER_NAME), f"{bucket.url}/{OWNER_NAME}")
    except ObjectMissing:
        raise UsageError(f"{bucket.url} is not a dataset of fdsl-gen") from None
    scratch = _scratch(bucket, recipe, tmp_dir)
    return RemoteFolder(scratch, _with_source_image(bucket, recipe, scratch), bucket)


def claim_place(
    place: str | Path,
    recipe: Recipe,
    *,
    overwrite: bool = False,
    storage: StorageOptions | None = None,
    tmp_dir: Path | None = None,
) -> Folder:
    """Make a folder or ``s3://bucket/prefix`` that of ``recipe``, or find that it already is.

    Raises:
        UsageError: see ``folder.claim`` and :func:`claim_remote`.
    """
    if not is_remote(place):
        # absolute, because workers may stand in another folder
        return claim(Path(place).absolute(), recipe, overwrite=overwrite)
    bucket = ObjectStore.at(str(place), storage)
    return claim_remote(bucket, recipe, overwrite=overwrite, tmp_dir=tmp_dir)


def open_place(place: str | Path, storage: StorageOptions | None = None) -> Folder:
    """A folder or ``s3://bucket/prefix`` that a run has begun.

    Raises:
        UsageError: if it is not one.
    """
    if not is_remote(place):
        return open_folder(Path(place))
    return open_remote(ObjectStore.at(str(place), storage))
