"""A dataset folder: who owns it, which shards are done, what may be deleted.

:class:`Folder` is one on this machine; ``remote.py`` makes the same of a prefix of a bucket.

Layout::

    manifest.json  README.md  preview.png  _info.json      written last, the manifest after the rest
    {name}-{split}-{index:06d}.tar
    __meta__/recipe.json                                   created once; owns the folder
    __meta__/source.png                                    the image it is made from, if it is
    __meta__/markers/{shard}.json                          one for each finished shard
    __meta__/index/{shard}.npy                             byte ranges (shards.py)
    __meta__/categories/shared.json                        what all categories have in common
    __meta__/categories/block-{number:06d}.npz             categories that were searched for
"""

import contextlib
import json
import os
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fdsl_gen
from fdsl_gen.archive.manifest import ShardEntry
from fdsl_gen.archive.paths import MANIFEST, META
from fdsl_gen.core import settings
from fdsl_gen.core.errors import ShardsFailed, UsageError
from fdsl_gen.core.json_text import parse_json, read_bounded
from fdsl_gen.core.path_names import check_path
from fdsl_gen.dataset import source_image
from fdsl_gen.dataset.lock import (
    OWNER,
    owned_recipe,
    owner_bytes,
    read_owner,
    refuse_foreign,
    refuse_other,
)
from fdsl_gen.dataset.shard_check import is_intact
from fdsl_gen.recipe.categories import SHARED
from fdsl_gen.recipe.order import Shard, shards_of
from fdsl_gen.recipe.recipe import Recipe, recipe_from_dict
from fdsl_gen.storage import local
from fdsl_gen.storage.errors import ObjectExists
from fdsl_gen.storage.local import LocalStore

ROOT_FILES = (MANIFEST, "_info.json", "preview.png", "README.md")


@dataclass(frozen=True)
class Folder:
    """Paths in a dataset folder and what they say. Picklable: workers get one with their tasks."""

    path: Path
    recipe: Recipe

    @property
    def where(self) -> str:
        """How messages call the dataset."""
        return str(self.path)

    @property
    def meta(self) -> Path:
        return self.path / META

    @property
    def categories(self) -> Path:
        return self.meta / "categories"

    @property
    def shared(self) -> Path:
        return self.categories / SHARED

    def stem(self, shard: Shard) -> str:
        return shard.stem(self.recipe.name)

    def tar(self, shard: Shard) -> Path:
        return self.path / f"{self.stem(shard)}.tar"

    def marker(self, shard: Shard) -> Path:
        return self.meta / "markers" / f"{self.stem(shard)}.json"

    def index(self, shard: Shard) -> Path:
        return self.meta / "index" / f"{self.stem(shard)}.npy"

    def fetch(self) -> None:
        """Bring here what shards are rendered with: categories, the source image. Here it is.

        Raises:
            UsageError: if this host does not see the folder.
        """
        if not self.meta.is_dir():
            raise UsageError(
                f"{socket.gethostname()} does not see {self.path}; give a folder that all hosts"
                " share, or s3://BUCKET/PREFIX"
            )

    def write(self, path: Path, data: bytes) -> None:
        """Write a small file of the dataset, replacing what stands there.

        Raises:
            ShardsFailed: if the folder was deleted meanwhile.
        """
        self.check_present()
        local.write(path, data)

    def refresh(self, path: Path, data: bytes) -> None:
        """The same, unless the file has this content already."""
        if not path.exists() or path.read_bytes() != data:
            self.write(path, data)

    def check_present(self) -> None:
        """Notice that the folder was deleted: a write would make it anew, without its recipe.

        Raises:
            ShardsFailed: if it was.
        """
        if not _owner_path(self.path).exists():
            raise ShardsFailed(
                f"{self.path} was deleted while this ran; the same command makes it anew"
            )

    def is_complete(self) -> bool:
        """Whether the manifest is there."""
        return (self.path / MANIFEST).is_file()

    def manifest_bytes(self) -> bytes | None:
        """The content of the manifest; None if there is none."""
        try:
            return read_bounded(self.path / MANIFEST)
        except FileNotFoundError:
            return None

    def is_intact(self, entry: ShardEntry) -> bool:
        """Whether a shard has the size and the sha256 that are claimed of it."""
        return is_intact(LocalStore(self.path), entry)

    def has(self, shard: Shard) -> bool:
        """Whether a shard stands under its final name, marked or not."""
        return self.tar(shard).exists()

    def write_tar(self, shard: Shard, parts: Iterable[bytes]) -> tuple[str, int]:
        """Write a shard; its sha256 and its size in bytes.

        Raises:
            ObjectExists: if it is there already; it was not replaced.
            ShardsFailed: if the folder was deleted meanwhile.
        """
        self.check_present()
        try:
            return local.write_new(self.tar(shard), parts)
        except FileExistsError:
            raise ObjectExists(f"{self.tar(shard)} is there already") from None

    @contextlib.contextmanager
    def opened(self, shard: Shard) -> Iterator[Path]:
        """A local file with the content of a shard, for as long as the context lasts."""
        yield self.tar(shard)

    def kept_at_once(self, shards: list[Shard], workers: int) -> list[Shard]:
        """Which of the shards to be made this machine must have room for."""
        return shards

    def mark(self, shard: Shard, entry: ShardEntry, **facts: Any) -> None:
        """Note that a shard is finished; ``facts`` of the run go into the marker only."""
        run = {"host": socket.gethostname(), "pid": os.getpid(), "version": fdsl_gen.__version__}
        claim = settings.to_dict(entry, defaults=True)
        data = {"shard": claim, "digest": settings.digest(claim), "run": run | facts}
        self.write(self.marker(shard), (json.dumps(data, indent=1) + "\n").encode())

    def entry(self, shard: Shard) -> ShardEntry | None:
        """What the marker of a shard says; None if there is none or its file is gone or cut."""
        path = self.marker(shard)
        try:
            entry = read_marker(read_bounded(path), str(path))
        except (FileNotFoundError, UsageError):
            return None
        tar = self.tar(shard)
        if entry is None or entry.file != tar.name or entry.samples != shard.num_samples:
            return None  # it says nothing of this shard
        return entry if tar.is_file() and tar.stat().st_size == entry.bytes else None

    def entries(self) -> dict[Shard, ShardEntry | None]:
        """What the marker of every shard says, in order; see :meth:`entry`."""
        return {shard: self.entry(shard) for shard in shards_of(self.recipe)}

    def missing(self) -> list[Shard]:
        """Shards without a valid marker, in order."""
        return [shard for shard, entry in self.entries().items() if entry is None]

    def sweep(self, shards: list[Shard] | None = None) -> int:
        """Remove what dead processes left of these shards; None: of anything, on any host."""
        if shards is None:
            folders = [self.path, self.meta, *(p for p in self.meta.glob("*") if p.is_dir())]
            return sum(local.sweep(folder) for folder in folders)
        names = [p.name for s in shards for p in (self.tar(s), self.index(s), self.marker(s))]
        places = (self.path, self.meta / "index", self.meta / "markers")
        return sum(local.sweep(folder, names) for folder in places)


def read_marker(data: bytes, where: str) -> ShardEntry | None:
    """The content of a marker; None if it is damaged, and so says nothing of its shard."""
    try:
        found = parse_json(data, where)
        if settings.digest(found["shard"]) != found["digest"]:
            return None
        return settings.from_dict(ShardEntry, found["shard"], where)
    except (UsageError, KeyError, TypeError):
        return None


def _owner_path(path: Path) -> Path:
    return path / META / OWNER


def _owner_data(path: Path) -> bytes | None:
    try:
        return read_bounded(_owner_path(path))
    except FileNotFoundError:
        return None


def open_folder(path: Path) -> Folder:
    """A folder that a run has begun.

    Raises:
        UsageError: if it is not one.
    """
    data = _owner_data(path) if check_path(path).is_dir() else None
    if data is None:
        what = "is not a dataset folder of fdsl-gen" if path.exists() else "does not exist"
        raise UsageError(f"{path} {what}")
    recipe = owned_recipe(data, str(_owner_path(path)))
    return Folder(path, source_image.attach_source(recipe, path))


def claim(path: Path, recipe: Recipe, *, overwrite: bool = False) -> Folder:
    """Make ``path`` the folder of ``recipe``, or find that it already is.

    Args:
        path: made if it does not exist.
        recipe: what is to stand in it.
        overwrite: delete what an earlier run of fdsl-gen made there. Nothing else is deleted.

    Raises:
        UsageError: if it belongs to another recipe, holds something else, or cannot be written.
    """
    recipe = source_image.attach_source(recipe, path)
    image = source_image.source_image_of(recipe)
    claim_path(path, owner_bytes(recipe), overwrite=overwrite)
    # Absolute, for workers that stand in another folder.
    return Folder(path.absolute(), source_image.store_source(recipe, image, path.absolute()))


def claim_path(path: Path, ours: bytes, *, overwrite: bool = False) -> None:
    """Make ``path`` a dataset folder, or find that it already is that of the same recipe.

    Args:
        path: made if it does not exist.
        ours: content of ``recipe.json``.
        overwrite: delete another dataset that stands there.

    Raises:
        UsageError: see :func:`claim`.
    """
    if check_path(path).exists() and not path.is_dir():
        raise UsageError(f"{path} is a file, not a folder")
    try:
        path.mkdir(parents=True, exist_ok=True)
        _refuse_foreign(path)
        if overwrite:
            _empty(path)
        local.write_new(_owner_path(path), [ours])
    except FileExistsError:
        refuse_other(str(path), read_bounded(_owner_path(path)), ours)
    except OSError as error:
        raise UsageError(f"cannot write into {path}: {error.strerror}") from None


def _refuse_foreign(path: Path) -> None:
    if _owner_path(path).exists():
        return
    refuse_foreign(str(path), [entry.name for entry in path.iterdir()])


def _empty(path: Path) -> None:
    """Delete a dataset: the files that its recipe and its markers name, the manifest first."""
    data = _owner_data(path)
    if data is None:
        return
    owner = read_owner(data, str(_owner_path(path)))
    folder = Folder(path, recipe_from_dict(owner["recipe"], OWNER))
    folder.sweep()
    doomed = [path / name for name in ROOT_FILES]
    for shard in shards_of(folder.recipe):
        doomed += [folder.tar(shard), folder.index(shard), folder.marker(shard)]
    blocks = folder.categories.glob("block-*.npz")
    doomed.append(folder.meta / source_image.SOURCE_IMAGE)
    for file in (*doomed, *blocks, folder.shared, _owner_path(path)):
        file.unlink(missing_ok=True)
    for name in ("markers", "index", "categories"):
        _remove_if_empty(folder.meta / name)
    _remove_if_empty(folder.meta)


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
