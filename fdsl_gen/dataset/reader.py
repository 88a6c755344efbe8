"""Reading a finished dataset: any sample by its key."""

import operator
import tempfile
from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.archive import shard_reader, tar
from fdsl_gen.archive.manifest import Manifest, ShardEntry
from fdsl_gen.archive.paths import ShardPaths
from fdsl_gen.archive.sample import Sample
from fdsl_gen.archive.shard_reader import ShardReader, damaged_index, scan
from fdsl_gen.core.errors import Mismatch, UsageError
from fdsl_gen.core.json_text import parse_json
from fdsl_gen.dataset.shard_search import ShardSearch
from fdsl_gen.recipe.recipe import Recipe, recipe_from_dict
from fdsl_gen.storage.base import Store
from fdsl_gen.storage.errors import ObjectMissing
from fdsl_gen.storage.local import LocalStore
from fdsl_gen.storage.manifest import read_manifest
from fdsl_gen.storage.objects import ObjectStore
from fdsl_gen.storage.options import StorageOptions
from fdsl_gen.storage.url import is_remote

_INDEXES = 4  # of shards, kept at a time


def load_index(store: Store, shard: ShardEntry, members: tuple[str, ...]) -> NDArray[np.void]:
    """Byte ranges of the samples of a shard (``tar.index_dtype``).

    Taken from the file beside the dataset, or from the headers of the tar where only that was kept.

    Raises:
        Mismatch: if the shard is missing, has another size than the manifest says, or is damaged.
        StorageError: if the storage does not answer.
    """
    there = store.stat(shard.file)
    if there is None:
        raise Mismatch(f"{shard.file} is missing")
    if there.size != shard.bytes:
        raise Mismatch(f"{shard.file} has {there.size:,} bytes instead of {shard.bytes:,}")
    if isinstance(store, LocalStore):
        return shard_reader.load_index(store.folder / shard.file, members, shard.samples)
    name = ShardPaths.of(shard.file).index
    limit = tar.index_limit(members, shard.samples)
    try:
        content = b"".join(store.stream(name, count=limit + 1))
        return tar.index_from(content, members, shard.samples, there.size)
    except ObjectMissing:
        pass
    except (ValueError, Mismatch) as error:
        raise damaged_index(shard.file, f"{store.url}/{name}", error) from None
    with (
        tempfile.TemporaryDirectory(prefix="fdsl-index-") as folder,
        store.local_copy(shard.file, Path(folder)) as path,
    ):
        return scan(path, members, shard.samples)


def facts_in(content: bytes, shard: ShardEntry, key: str) -> dict[str, Any]:
    """What the ``.json`` of a sample says.

    Raises:
        Mismatch: if it is no mapping; names shard and sample.
    """
    try:
        facts = parse_json(content, f"the parameters of {key}")
    except UsageError as error:
        raise Mismatch(f"{shard.file}: {error}") from None
    if not isinstance(facts, dict):
        raise Mismatch(f"{shard.file}: the parameters of {key} are no mapping")
    return facts


class Dataset(Mapping[str, Sample]):
    """A finished dataset as a mapping from keys to samples. Made by :func:`open_dataset`.

    Nothing is kept but the indexes of a few shards, however many samples there are.

    Args:
        store: where it is.
        manifest: its manifest; None: read from there.
    """

    def __init__(self, store: Store, manifest: Manifest | None = None) -> None:
        self.store = store
        self.manifest: Manifest = read_manifest(store) if manifest is None else manifest
        self._format = self.manifest.sample_format
        self._indexes: dict[ShardEntry, NDArray[np.void]] = {}

    @cached_property
    def recipe(self) -> Recipe:
        """What it was made from; print it: YAML."""
        return recipe_from_dict(self.manifest.recipe, "manifest.json")

    @cached_property
    def _search(self) -> ShardSearch:
        return ShardSearch(self.manifest, self._keys)

    def index_of(self, shard: ShardEntry) -> NDArray[np.void]:
        """Byte ranges of the samples of a shard (``tar.index_dtype``); the last few are kept."""
        index = self._indexes.get(shard)
        if index is None:
            index = load_index(self.store, shard, self.manifest.members)
            self._indexes[shard] = index
            if len(self._indexes) > _INDEXES:
                self._indexes.pop(next(iter(self._indexes)), None)
        return index

    def _keys(self, shard: ShardEntry) -> NDArray[np.bytes_]:
        keys: NDArray[np.bytes_] = self.index_of(shard)["key"]
        return keys

    def _find(self, key: str) -> tuple[ShardEntry, int] | None:
        wanted = key.encode("utf-8", "replace")
        likely = self._search.candidates(key)
        tried, damage = set(), None
        for shard in chain(list(self._indexes)[::-1], likely):
            if shard in tried:
                continue
            tried.add(shard)
            try:
                rows = np.flatnonzero(self._keys(shard) == wanted)
            except Mismatch as error:  # the sample may stand in another one
                damage = damage or error
                continue
            if len(rows):
                return shard, int(rows[0])
        if damage is not None:
            raise damage
        return None

    def _members(self, key: str, endings: tuple[str, ...]) -> tuple[ShardEntry, dict[str, bytes]]:
        """The shard of a sample, and some of its members."""
        found = self._find(key) if isinstance(key, str) else None
        if found is None:
            raise KeyError(key)
        shard, row = found
        return shard, self.members_at(shard, row, endings)

    def members_at(self, shard: ShardEntry, row: int, endings: tuple[str, ...]) -> dict[str, bytes]:
        """Contents of members of a sample by ending: of row ``row`` of a shard's index.

        Raises:
            Mismatch: if the shard ends before they do.
            StorageError: if the storage does not answer.
        """
        reader = ShardReader(shard.file, self.index_of(shard), partial(self._read, shard))
        try:
            return reader.members(row, endings)
        except Mismatch as error:
            raise Mismatch(f"{shard.file}, sample {reader.key(row)}: {error}") from None

    def _read(self, shard: ShardEntry, start: int, count: int) -> bytes:
        return b"".join(self.store.stream(shard.file, start, shard.bytes, count))

    def __repr__(self) -> str:
        image, splits = self.manifest.image, self.manifest.splits
        name = self.manifest.recipe.get("name", "")
        counts = ", ".join(f"{split.num_samples:,} {key}" for key, split in splits.items())
        return (
            f"Dataset({self.store.url!r}: {name}, {counts}; {image.width}x{image.height},"
            f" {self.manifest.num_classes:,} classes)"
        )

    def parameters(self) -> dict[str, list[Any]]:
        """The numbers behind all images, by column, ready for pandas.

        Columns are ``key`` and what the ``.json`` of samples names, with None where one does not.

        Raises:
            UsageError: if the dataset was made without ``metadata``.
            Mismatch: if the bytes of a sample are damaged.

        Examples:
            >>> recipe = load_recipe("fractal-1", num_categories=4, image_size=64, metadata=True)
            >>> manifest = generate(recipe, "described", workers=1)
            >>> sorted(open_dataset("described").parameters()["category"])
            [0, 1, 2, 3]
        """
        if "json" not in self.manifest.members:
            raise UsageError(
                f"{self.store.url} holds no parameters of its images; render it with --metadata"
                " (metadata=True)"
            )
        rows = [{"key": key} | self._facts(key) for key in self]
        names = dict.fromkeys(name for row in rows for name in row)
        return {name: [row.get(name) for row in rows] for name in names}

    def _facts(self, key: str) -> dict[str, Any]:
        shard, members = self._members(key, ("json",))
        return facts_in(members["json"], shard, key)

    def __len__(self) -> int:
        return sum(split.num_samples for split in self.manifest.splits.values())

    def __iter__(self) -> Iterator[str]:
        for split in self.manifest.splits.values():
            for shard in split.shards:
                for key in self._keys(shard):
                    yield bytes(key).decode()

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._find(key) is not None

    def __getitem__(self, key: str | int) -> Sample:
        """One sample, by its key, or by its place in the order of iteration.

        So a ``torch.utils.data.DataLoader`` can take the dataset as it is, with a ``collate_fn``.

        Raises:
            KeyError: if there is none of this name.
            IndexError: if there are not so many.
            Mismatch: if its bytes are damaged.
            StorageError: if the storage does not answer.
        """
        if not isinstance(key, str):
            shard, row = self._place(operator.index(key))
            name = bytes(self._keys(shard)[row]).decode()
            return self.decode(shard, name, self.members_at(shard, row, self.manifest.members))
        shard, members = self._members(key, self.manifest.members)
        return self.decode(shard, key, members)

    def _place(self, number: int) -> tuple[ShardEntry, int]:
        """Shard and row of a place in the order of iteration, from the end if negative."""
        row = number + len(self) if number < 0 else number
        if row >= 0:
            for split in self.manifest.splits.values():
                for shard in split.shards:
                    if row < shard.samples:
                        return shard, row
                    row -= shard.samples
        raise IndexError(f"{self.store.url} has {len(self):,} samples, not one of number {number}")

    def decode(self, shard: ShardEntry, key: str, members: Mapping[str, bytes]) -> Sample:
        """A sample from its members.

        Raises:
            Mismatch: if they are damaged; names shard and sample.
        """
        try:
            return self._format.decode(key, members)
        except ValueError as error:
            raise Mismatch(f"{shard.file}, sample {key}: {error}") from None


def open_dataset(path: str | Path, *, storage: StorageOptions | None = None) -> Dataset:
    """Open a finished dataset: ``open_dataset("shards")["00012_00000"].image``.

    Args:
        path: folder of the dataset, or ``s3://bucket/prefix``, ``gs://...``, ``az://...``.
        storage: how to reach object storage.

    Returns:
        A mapping from keys to samples, which are read when they are asked for.

    Raises:
        UsageError: if it is not one.
        StorageError: if the storage does not answer.
    """
    if is_remote(path):
        return Dataset(ObjectStore.at(str(path), storage))
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file, not a folder")
    return Dataset(LocalStore(folder), read_manifest(folder))
