"""Where a dataset made by ``fdsl_gen`` is: a folder, or object storage behind a cache."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fdsl_gen.archive.manifest import Manifest, ShardEntry
from fdsl_gen.archive.paths import MANIFEST, META
from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.recipe_files import is_recipe
from fdsl_gen.core.user_dirs import temporary_folder
from fdsl_gen.storage.manifest import read_manifest
from fdsl_gen.storage.objects import ObjectStore
from fdsl_gen.storage.open import store_at
from fdsl_gen.storage.options import StorageOptions
from fdsl_gen.storage.url import is_remote
from fdsl_train.data.locate.cache import ShardCache, TarObject
from fdsl_train.data.locate.tar_names import is_tar_text
from fdsl_train.data.sources.shards import ShardSource, open_split, read_dataset, split_of, usable

VALIDATION = "validation"  # the split to measure on


def location_of(data: "str | Path | DatasetLocation") -> "DatasetLocation":
    """A folder, a URL as text, or what is one already."""
    if isinstance(data, DatasetLocation):
        return data
    if isinstance(data, str) and (is_tar_text(data) or is_recipe(data) or is_remote(data)):
        return DatasetLocation(data=data)
    return DatasetLocation(data=Path(data))


@dataclass(frozen=True, kw_only=True)
class DatasetLocation:
    """A dataset's place.

    Attributes:
        data: a folder; as text ``s3://bucket/prefix``, ``recipe:NAME?setting=value`` or what names
            tars of others.
        storage: how to reach object storage.
        cache_dir: folder of this machine for shards from there; None: in the temporary folder.
        cache_gb: how much of it they may take.
    """

    data: Path | str
    storage: StorageOptions = StorageOptions()
    cache_dir: Path | None = None
    cache_gb: float = 64.0

    def __str__(self) -> str:
        return str(self.data)

    @property
    def recipe(self) -> str | None:
        """``recipe:...``, if that is what was given: there are no files then."""
        return self.data if isinstance(self.data, str) and is_recipe(self.data) else None

    @property
    def is_ours(self) -> bool:
        """Whether it looks like a dataset of ours rather than a tree of images."""
        if isinstance(self.data, str):
            return True
        return (self.data / MANIFEST).exists() or (self.data / META).exists()

    def manifest(self) -> Manifest:
        """The manifest of a dataset of labeled images.

        Raises:
            UsageError: if there is no finished dataset, or it cannot be learned from.
        """
        if isinstance(self.data, str):
            return usable(read_manifest(store_at(self.data, self.storage)), self.data)
        return read_dataset(self.data)

    def split(self, manifest: Manifest, name: str) -> ShardSource:
        """A split of the dataset.

        Raises:
            UsageError: if there is no such split, a local shard is missing or cut short, or the
                cache cannot hold the shards.
        """
        if isinstance(self.data, Path):
            return open_split(self.data, manifest, name)
        entry = split_of(manifest, name, self.data)
        return ShardSource(
            str(self),
            manifest,
            name,
            self.cache(ObjectStore.at(self.data, self.storage), entry.shards),
        )

    def cache(self, store: ObjectStore, shards: Sequence[ShardEntry | TarObject]) -> ShardCache:
        """The cache through which shards of a store are read.

        Raises:
            UsageError: if it cannot hold the largest of them, or cannot be written.
        """
        folder = self.cache_dir or temporary_folder("shards")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(folder).free
        except OSError as error:
            raise UsageError(f"cannot use the cache {folder}: {error.strerror}") from None
        held = sum(path.stat().st_size for path in folder.glob("*.tar"))
        room = int(min(self.cache_gb * 1e9, 0.9 * (free + held)))
        return ShardCache(store, shards, folder, room)
