"""A dataset under a prefix of a bucket, used like a folder.

The names are those of a folder (``folder.py``). A shard is built whole on this machine and sent
whole; its index and its marker follow, and the manifest comes when all are there. What shards are
rendered with - categories that were searched for, the picture of a dataset made from one - stands
in the bucket, too, and is brought to every machine that renders.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from fdsl_gen import store
from fdsl_gen.archive.manifest import MANIFEST, META, ShardEntry
from fdsl_gen.core.errors import StorageError, UsageError
from fdsl_gen.core.user_dirs import private_folder
from fdsl_gen.dataset import source_image
from fdsl_gen.dataset.folder import ROOT_FILES, Folder, claim, open_folder, read_marker
from fdsl_gen.dataset.lock import OWNER, owner_bytes, read_owner, refuse_foreign, refuse_other
from fdsl_gen.recipe.order import Shard, shards_of
from fdsl_gen.recipe.recipe import Recipe, recipe_from_dict
from fdsl_gen.store.options import S3Options
from fdsl_gen.store.parallel import each
from fdsl_gen.store.s3 import S3Store
from fdsl_gen.store.url import is_remote

OWNER_NAME = f"{META}/{OWNER}"
JOBS = 16  # small requests at a time


@dataclass(frozen=True)
class RemoteFolder(Folder):
    """A dataset in ``bucket``; ``path`` is a folder of this machine for what is under way.

    That folder has the same path on every machine and holds, besides shards that are being built,
    copies of the categories and of the picture.
    """

    bucket: S3Store

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
        return path.parent == self.categories or path == self.meta / source_image.KEPT

    def fetch(self) -> None:
        check_owner(self.bucket, self.recipe)
        wanted = [name for name, _ in self.bucket.sizes(f"{META}/categories/")]
        if isinstance(self.recipe.variant, source_image.FromPicture):
            wanted.append(f"{META}/{source_image.KEPT}")
        if wanted:
            self._make()
        absent = [name for name in wanted if not (self.path / name).exists()]
        for name, data in each(self.bucket.read, absent, min(JOBS, len(absent))):
            store.write(self.path / name, data)

    def check_present(self) -> None:
        """Here :meth:`fetch` notices it."""

    def write(self, path: Path, data: bytes) -> None:
        if self._is_needed_here(path):
            self._make()
            store.write(path, data)
        self.bucket.write(self.name(path), data)

    def refresh(self, path: Path, data: bytes) -> None:
        there = self.bucket.stat(self.name(path))
        if there is None or there.sha256 != sha256(data).hexdigest():
            self.write(path, data)

    def is_complete(self) -> bool:
        return self.bucket.stat(MANIFEST) is not None

    def has(self, shard: Shard) -> bool:
        return self.bucket.stat(self.name(self.tar(shard))) is not None

    def write_tar(self, shard: Shard, parts: Iterable[bytes]) -> tuple[str, int]:
        tar = self.tar(shard)
        self._make()
        built, hexdigest, size = store.write_temporary(tar, parts)
        try:
            self.bucket.write_new(self.name(tar), built, hexdigest)
        finally:
            built.unlink(missing_ok=True)
        return hexdigest, size

    @contextlib.contextmanager
    def opened(self, shard: Shard) -> Iterator[Path]:
        tar = self.tar(shard)
        self._make()
        here, _, _ = store.write_temporary(tar, self.bucket.stream(self.name(tar)))
        try:
            yield here
        finally:
            here.unlink(missing_ok=True)

    def kept_at_once(self, shards: list[Shard], workers: int) -> list[Shard]:
        return shards[:workers]

    def entry(self, shard: Shard) -> ShardEntry | None:
        there = self.bucket.stat(self.name(self.tar(shard)))
        return None if there is None else self._entry(shard, there.size)

    def _entry(self, shard: Shard, size: int) -> ShardEntry | None:
        name = self.name(self.marker(shard))
        try:
            entry = read_marker(self.bucket.read(name), f"{self.where}/{name}")
        except FileNotFoundError:
            return None
        return entry if entry.bytes == size else None

    def entries(self) -> dict[Shard, ShardEntry | None]:
        shards = shards_of(self.recipe)
        sizes = dict(self.bucket.sizes())
        found: dict[Shard, ShardEntry | None] = dict.fromkeys(shards)
        marked = [
            shard
            for shard in shards
            if self.name(self.tar(shard)) in sizes and self.name(self.marker(shard)) in sizes
        ]

        def read(shard: Shard) -> ShardEntry | None:
            return self._entry(shard, sizes[self.name(self.tar(shard))])

        found.update(each(read, marked, min(JOBS, len(marked))))
        return found

    def sweep(self, shards: list[Shard] | None = None) -> int:
        """Remove what dead processes left here; None: of any shard, and the copies as well."""
        if shards is not None:
            return store.sweep(self.path, [self.tar(shard).name for shard in shards])
        swept = sum(store.sweep(folder) for folder in (self.path, self.meta, self.categories))
        for file in (*self.categories.glob("*"), self.meta / source_image.KEPT):
            file.unlink(missing_ok=True)
        for folder in (self.categories, self.meta, self.path):
            with contextlib.suppress(OSError):  # another process is still at work in it
                folder.rmdir()
        return swept


def check_owner(bucket: S3Store, recipe: Recipe) -> None:
    """See that a prefix is still that of a recipe.

    A service without conditional requests may have let two runs begin at once.

    Raises:
        StorageError: if it is not.
    """
    try:
        theirs = bucket.read(OWNER_NAME)
    except FileNotFoundError:
        raise StorageError(f"{bucket.url} was deleted while this ran") from None
    refuse_other(bucket.url, theirs, owner_bytes(recipe))


def claim_prefix(bucket: S3Store, ours: bytes, *, overwrite: bool = False) -> None:
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
    except FileNotFoundError:
        refuse_foreign(bucket.url, (name for name, _ in bucket.sizes()))
    else:
        if not overwrite:
            refuse_other(bucket.url, theirs, ours)
            return
        _empty(bucket, theirs)
    with contextlib.suppress(FileExistsError):
        bucket.write_new(OWNER_NAME, ours, sha256(ours).hexdigest())
    refuse_other(bucket.url, bucket.read(OWNER_NAME), ours)


def _scratch(bucket: S3Store, recipe: Recipe, tmp_dir: Path | None) -> Path:
    """Where a dataset is built: one place for each user, dataset and recipe, on every machine."""
    known = f"{bucket.options.endpoint_url} {bucket.url} {recipe.recipe_digest}"
    digest = sha256(known.encode()).hexdigest()[:16]
    return (tmp_dir or Path(tempfile.gettempdir())).absolute() / f"fdsl-{os.getuid()}-{digest}"


def _with_picture(bucket: S3Store, recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with the picture that its dataset keeps, if it names none itself."""
    if isinstance(recipe.variant, source_image.FromPicture) and recipe.variant.source is None:
        with contextlib.suppress(FileNotFoundError):
            picture = bucket.read(f"{META}/{source_image.KEPT}")
            private_folder(folder.parent, folder.name)
            store.write(folder / META / source_image.KEPT, picture)
    return source_image.adopt(recipe, folder)


def claim_remote(
    bucket: S3Store, recipe: Recipe, *, overwrite: bool = False, tmp_dir: Path | None = None
) -> RemoteFolder:
    """Make a prefix the folder of ``recipe``, or find that it already is; like ``folder.claim``.

    Raises:
        UsageError: if it belongs to another recipe, holds something else, or cannot be reached.
    """
    with tempfile.TemporaryDirectory() as here:
        recipe = _with_picture(bucket, recipe, Path(here))
        picture = source_image.picture_of(recipe)
    claim_prefix(bucket, owner_bytes(recipe), overwrite=overwrite)
    scratch = _scratch(bucket, recipe, tmp_dir)
    private_folder(scratch.parent, scratch.name)
    folder = RemoteFolder(scratch, source_image.keep(recipe, picture, scratch), bucket)
    if picture is not None:
        kept = folder.meta / source_image.KEPT
        folder.refresh(kept, kept.read_bytes())
    return folder


def _empty(bucket: S3Store, theirs: bytes) -> None:
    """Delete a dataset: the objects that its recipe names, the manifest first, the owner last."""
    owner = read_owner(theirs, f"{bucket.url}/{OWNER_NAME}")
    folder = RemoteFolder(Path("/"), recipe_from_dict(owner["recipe"], OWNER), bucket)
    doomed = [*ROOT_FILES, f"{META}/{source_image.KEPT}"]
    for shard in shards_of(folder.recipe):
        files = (folder.tar(shard), folder.index(shard), folder.marker(shard))
        doomed += [folder.name(file) for file in files]
    doomed += [name for name, _ in bucket.sizes(f"{META}/categories/")]
    bucket.delete(doomed[0])
    there = {name for name, _ in bucket.sizes()}
    for _ in each(bucket.delete, [name for name in doomed if name in there], JOBS):
        pass
    bucket.delete(OWNER_NAME)


def open_remote(bucket: S3Store, tmp_dir: Path | None = None) -> RemoteFolder:
    """A dataset that a run has begun; like ``folder.open_folder``.

    Raises:
        UsageError: if there is none.
    """
    try:
        owner = read_owner(bucket.read(OWNER_NAME), f"{bucket.url}/{OWNER_NAME}")
    except FileNotFoundError:
        raise UsageError(f"{bucket.url} is not a dataset of fdsl-gen") from None
    recipe = recipe_from_dict(owner["recipe"], OWNER)
    scratch = _scratch(bucket, recipe, tmp_dir)
    return RemoteFolder(scratch, _with_picture(bucket, recipe, scratch), bucket)


def claim_place(
    place: str | Path,
    recipe: Recipe,
    *,
    overwrite: bool = False,
    storage: S3Options | None = None,
    tmp_dir: Path | None = None,
) -> Folder:
    """Make a folder or ``s3://bucket/prefix`` that of ``recipe``, or find that it already is.

    Raises:
        UsageError: see ``folder.claim`` and :func:`claim_remote`.
    """
    if not is_remote(place):
        # absolute, because workers may stand in another folder
        return claim(Path(place).absolute(), recipe, overwrite=overwrite)
    bucket = S3Store.at(str(place), storage)
    return claim_remote(bucket, recipe, overwrite=overwrite, tmp_dir=tmp_dir)


def open_place(place: str | Path, storage: S3Options | None = None) -> Folder:
    """A folder or ``s3://bucket/prefix`` that a run has begun.

    Raises:
        UsageError: if it is not one.
    """
    if not is_remote(place):
        return open_folder(Path(place))
    return open_remote(S3Store.at(str(place), storage))
