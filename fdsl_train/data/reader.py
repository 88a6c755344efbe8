"""A dataset made by ``fdsl_gen``, one sample at a time by byte offset.

Everything that can be checked without reading the shards is checked when a split is opened; what
can only be seen inside them (a damaged image, an impossible label) is an error of the sample.
"""

import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fdsl_gen import png, schema
from fdsl_gen.errors import UsageError
from fdsl_gen.manifest import META, Manifest, SplitEntry, read_manifest
from fdsl_gen.shards import index_dtype, scan_index
from fdsl_train.data.source import Sample

_OPEN_SHARDS = 64  # kept open at a time; an order touches 16, and 1,024 is a common limit of files


def read_dataset(folder: Path) -> Manifest:
    """The manifest of a dataset of single labels.

    Raises:
        UsageError: if the folder is not a finished dataset, or not of single labels.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; --data takes the folder of a dataset")
    manifest = read_manifest(folder)
    if manifest.task != "single":
        raise UsageError(
            f"{folder} is a {manifest.task} dataset; training reads sets with one label per image"
        )
    return manifest


class _OpenShard:
    """A shard file with its index."""

    def __init__(self, path: Path, members: tuple[str, ...], num_samples: int) -> None:
        self.path = path
        stored = path.parent / META / "index" / f"{path.stem}.npy"
        try:
            if stored.exists():
                self.index = np.load(stored, allow_pickle=False)
            else:
                self.index = scan_index(path, members)
            self._file = os.open(path, os.O_RDONLY)
        except (OSError, ValueError) as error:
            if isinstance(error, UsageError):
                raise
            raise UsageError(f"cannot read {path} or its index {stored}: {error}") from None
        if self.index.dtype != index_dtype(members) or len(self.index) != num_samples:
            os.close(self._file)
            raise UsageError(
                f"the index {stored} does not fit the manifest; delete it, it is optional"
                if stored.exists()
                else f"{path} holds {len(self.index)} samples, the manifest says {num_samples}"
            )

    def read(self, row: int, member: str) -> bytes:
        """The content of a member of sample ``row``."""
        offset, size = (
            int(self.index[row][f"{member}_offset"]),
            int(self.index[row][f"{member}_size"]),
        )
        content = os.pread(self._file, size, offset)
        if len(content) != size:
            raise UsageError(f"{self.path} is cut short in sample {self.key(row)}")
        return content

    def key(self, row: int) -> str:
        """The name of sample ``row``."""
        return bytes(self.index[row]["key"]).decode()

    def close(self) -> None:
        """Give the file back."""
        os.close(self._file)


class ShardSource:
    """A split of a dataset folder; see ``Source`` for the attributes.

    Opened files stay with the process that opened them: a pickled copy opens its own.

    Args:
        folder: dataset folder.
        manifest: its manifest.
        split: name of the split.

    Raises:
        UsageError: if there is no such split, or a shard is missing or has another size than the
            manifest says.
    """

    class_names: tuple[str, ...] | None = None

    def __init__(self, folder: Path, manifest: Manifest, split: str) -> None:
        if split not in manifest.splits:
            known = ", ".join(manifest.splits)
            raise UsageError(f"{folder} has no {split} split; it has {known}")
        entry = manifest.splits[split]
        _check_files(folder, entry)
        self.name = str(folder)
        self.num_classes = manifest.num_classes
        self.shard_sizes = tuple(shard.samples for shard in entry.shards)
        self.digest = schema.digest(
            {
                "num_classes": manifest.num_classes,
                "shards": [[shard.samples, shard.content_digest] for shard in entry.shards],
            }
        )
        self._paths = [folder / shard.file for shard in entry.shards]
        self._members = manifest.members
        self._open: OrderedDict[int, _OpenShard] = OrderedDict()

    def take(self, shard: int, row: int) -> Sample:
        """Sample ``row`` of shard ``shard``; see ``Source``."""
        opened = self._shard(shard)
        where = f"{opened.path}, sample {opened.key(row)}"
        text = opened.read(row, "cls")
        if not text.isdigit():
            raise UsageError(f"{where}: the label {text!r} is not an integer from 0 on")
        label = int(text)
        if label >= self.num_classes:
            raise UsageError(
                f"{where}: the label {label} is not below the number of classes, {self.num_classes}"
            )
        try:
            pixels = png.decode(opened.read(row, "png"))
        except (ValueError, LookupError, OSError) as error:
            if isinstance(error, UsageError):
                raise
            raise UsageError(f"{where}: the image is damaged: {error}") from None
        return Sample(Image.fromarray(pixels), label)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": OrderedDict()}

    def _shard(self, shard: int) -> _OpenShard:
        opened = self._open.get(shard)
        if opened is None:
            opened = _OpenShard(self._paths[shard], self._members, self.shard_sizes[shard])
            self._open[shard] = opened
            if len(self._open) > _OPEN_SHARDS:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(shard)
        return opened


def _check_files(folder: Path, entry: SplitEntry) -> None:
    for shard in entry.shards:
        path = folder / shard.file
        try:
            size = path.stat().st_size
        except OSError as error:
            reason = "is missing" if isinstance(error, FileNotFoundError) else error.strerror
            raise UsageError(f"shard {path}: {reason}; run the fdsl-gen command again") from None
        if size != shard.bytes:
            raise UsageError(
                f"shard {path}: is {size} bytes, the manifest says {shard.bytes};"
                " delete it and run the fdsl-gen command again"
            )
