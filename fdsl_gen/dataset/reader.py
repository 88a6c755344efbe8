"""Reading a finished dataset: any sample by its key."""

import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.archive import tar
from fdsl_gen.archive.manifest import Manifest, ShardEntry
from fdsl_gen.archive.paths import META
from fdsl_gen.archive.sample import Sample
from fdsl_gen.core.errors import Mismatch, UsageError
from fdsl_gen.core.json_text import parse_json, read_bounded
from fdsl_gen.storage import local
from fdsl_gen.storage.manifest import read_manifest


def check_shard_file(folder: Path, shard: ShardEntry) -> None:
    """Compare a shard with the manifest.

    Raises:
        Mismatch: if it is missing, or its size or sha256 differ.
    """
    path = folder / shard.file
    if not path.is_file():
        raise Mismatch(f"{shard.file} is missing")
    if path.stat().st_size != shard.bytes or local.file_sha256(path) != shard.sha256:
        raise Mismatch(f"{path} is damaged: its size or sha256 is not that of the manifest")


def load_index(folder: Path, shard: ShardEntry, members: tuple[str, ...]) -> NDArray[np.void]:
    """Byte ranges of the samples of a shard (``shards.index_dtype``).

    Taken from the file beside the dataset, or from the headers of the tar where only that was kept.

    Raises:
        Mismatch: if the shard is missing, has another size than the manifest says, or is damaged.
    """
    tar_path = folder / shard.file
    if not tar_path.is_file():
        raise Mismatch(f"{shard.file} is missing")
    size = tar_path.stat().st_size
    if size != shard.bytes:
        raise Mismatch(f"{shard.file} has {size:,} bytes instead of {shard.bytes:,}")
    path = folder / META / "index" / f"{tar_path.stem}.npy"
    try:
        content = read_bounded(path, tar.index_limit(members, shard.samples))
        return tar.index_from(content, members, shard.samples, size)
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise Mismatch(
            f"the index of {shard.file} is damaged ({error}); delete it, it is optional: {path}"
        ) from None
    try:
        index = tar.scan_index(tar_path, members)
    except ValueError as error:
        raise Mismatch(str(error)) from None
    if len(index) != shard.samples:
        raise Mismatch(f"{shard.file} holds {len(index)} samples instead of {shard.samples}")
    return index


def read_members(handle: int, row: np.void, members: tuple[str, ...]) -> dict[str, bytes]:
    """The members of one sample, with one read.

    Args:
        handle: file descriptor of the tar.
        row: the sample's row of the index.
        members: endings, as in the manifest.
    """
    start = int(row[f"{members[0]}_offset"])
    end = int(row[f"{members[-1]}_offset"]) + int(row[f"{members[-1]}_size"])
    data = os.pread(handle, end - start, start)
    found = {}
    for member in members:
        at = int(row[f"{member}_offset"]) - start
        found[member] = data[at : at + int(row[f"{member}_size"])]
    return found


class Dataset(Mapping[str, Sample]):
    """A finished dataset folder as a mapping from keys to samples. Made by :func:`open_dataset`."""

    def __init__(self, folder: Path, manifest: Manifest | None = None) -> None:
        self.folder = folder
        self.manifest: Manifest = read_manifest(folder) if manifest is None else manifest

    @cached_property
    def _places(self) -> dict[str, tuple[ShardEntry, np.void]]:
        places = {}
        for split in self.manifest.splits.values():
            for shard in split.shards:
                for row in load_index(self.folder, shard, self.manifest.members):
                    places[row["key"].decode()] = (shard, row)
        return places

    def __repr__(self) -> str:
        image, splits = self.manifest.image, self.manifest.splits
        name = self.manifest.recipe.get("name", "")
        counts = ", ".join(f"{split.num_samples:,} {key}" for key, split in splits.items())
        return (
            f"Dataset({str(self.folder)!r}: {name}, {counts}; {image.width}x{image.height},"
            f" {self.manifest.num_classes:,} classes)"
        )

    def parameters(self) -> dict[str, list[Any]]:
        """The numbers behind all images, by column, ready for pandas.

        Columns are ``key`` and what the ``.json`` of samples names, with None where one does not.

        Raises:
            UsageError: if the dataset was made without ``metadata``.
            Mismatch: if the bytes of a sample are damaged.

        >>> recipe = load_recipe("fractal-1", num_categories=4, image_size=64, metadata=True)
        >>> manifest = generate(recipe, "described", workers=1)
        >>> sorted(open_dataset("described").parameters()["category"])
        [0, 1, 2, 3]
        """
        if "json" not in self.manifest.members:
            raise UsageError(
                f"{self.folder} holds no parameters of its images; render it with --metadata"
                " (metadata=True)"
            )
        rows = [{"key": key} | self._facts(key) for key in self]
        names = dict.fromkeys(name for row in rows for name in row)
        return {name: [row.get(name) for row in rows] for name in names}

    def _facts(self, key: str) -> dict[str, Any]:
        shard, row = self._places[key]
        with (self.folder / shard.file).open("rb") as file:
            content = read_members(file.fileno(), row, ("json",))["json"]
        try:
            facts = parse_json(content, f"the parameters of {key}")
        except UsageError as error:
            raise Mismatch(f"{shard.file}: {error}") from None
        if not isinstance(facts, dict):
            raise Mismatch(f"{shard.file}: the parameters of {key} are no mapping")
        return facts

    def __len__(self) -> int:
        return sum(split.num_samples for split in self.manifest.splits.values())

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __getitem__(self, key: str) -> Sample:
        """One sample.

        Raises:
            KeyError: if there is none of this name.
            Mismatch: if its bytes are damaged.
        """
        shard, row = self._places[key]
        with (self.folder / shard.file).open("rb") as file:
            members = read_members(file.fileno(), row, self.manifest.members)
        try:
            return self.manifest.sample_format.decode(key, members)
        except ValueError as error:
            raise Mismatch(f"{shard.file}, sample {key}: {error}") from None


def open_dataset(path: str | Path) -> Dataset:
    """Open a finished dataset folder: ``open_dataset("shards")["00012_00000"].image``.

    Args:
        path: folder of the dataset.

    Returns:
        A mapping from keys to samples, which are read when they are asked for.

    Raises:
        UsageError: if it is not one.
    """
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file, not a folder")
    return Dataset(folder)
