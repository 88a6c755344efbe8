"""A dataset made by ``fdsl_gen``, one sample at a time by byte offset.

Everything that can be checked without reading the shards is checked when a split is opened; what
can only be seen inside them (a damaged image, an impossible label) is an error of the sample.
"""

import contextlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.archive import png
from fdsl_gen.archive.manifest import Manifest, SplitEntry
from fdsl_gen.archive.shard_reader import OpenShard
from fdsl_gen.archive.tar import index_from
from fdsl_gen.core import settings
from fdsl_gen.core.errors import Mismatch, UsageError
from fdsl_gen.storage.manifest import read_manifest
from fdsl_train.data.locate.folder import FolderShelf, ShardLocator
from fdsl_train.data.masks import Mask, check_classes, classes_of_ours
from fdsl_train.data.sources.base import Label, Sample, group_views
from fdsl_train.data.sources.decoded import Decoded

_OPEN_SHARDS = 64  # kept open at a time; an order touches 16, and 1,024 is a common limit of files


def read_dataset(folder: Path) -> Manifest:
    """The manifest of a dataset of labeled images.

    Raises:
        UsageError: if the folder is not a finished dataset, or cannot be learned from.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; --data takes the folder of a dataset")
    return usable(read_manifest(folder), str(folder))


def usable(manifest: Manifest, name: str) -> Manifest:
    """The manifest, if training can read its dataset, which messages call ``name``.

    Raises:
        UsageError: if there is no training task for its labels.
    """
    check_trainable(manifest.task, name)
    return manifest


def check_trainable(task: str, name: str) -> None:
    """Refuse a label type that there is no training task for.

    Args:
        task: name of the label type.
        name: how messages call the dataset.
    """
    from fdsl_train.tasks import TASKS  # which import PyTorch; wrong places are told before

    if task not in TASKS:
        raise UsageError(f"{name} is labeled with {task}, which no training task learns from")


def split_of(manifest: Manifest, split: str, name: str) -> SplitEntry:
    """A split by its name, in a dataset that messages call ``name``.

    Raises:
        UsageError: if there is none.
    """
    if split not in manifest.splits:
        raise UsageError(f"{name} has no {split} split; it has {', '.join(manifest.splits)}")
    return manifest.splits[split]


class ShardSource:
    """A split of a dataset made by ``fdsl_gen``; see ``Source`` for the attributes.

    Opened files stay with the process that opened them: a pickled copy opens its own.

    Args:
        name: how messages call the dataset.
        manifest: its manifest.
        split: name of the split.
        shelf: where its shards are.
    """

    class_names: tuple[str, ...] | None = None

    def __init__(self, name: str, manifest: Manifest, split: str, locator: ShardLocator) -> None:
        entry = manifest.splits[split]
        self.name = name
        self.num_classes = manifest.num_classes
        self.shard_sizes = tuple(shard.samples for shard in entry.shards)
        self._starts = list(accumulate(self.shard_sizes, initial=0))
        self.label_type = manifest.label_type
        self.digest = settings.digest(
            {
                "num_classes": manifest.num_classes,
                "shards": [[shard.samples, shard.content_digest] for shard in entry.shards],
            }
        )
        self.origin = {"recipe": manifest.recipe, "identity": manifest.identity}
        self.image = manifest.image
        self.content_digests: tuple[str, ...] | None = tuple(
            shard.content_digest for shard in entry.shards
        )
        self._shelf = locator
        self.has_points = "npy" in manifest.members
        self._members = manifest.members
        self._shard_bytes = tuple(shard.bytes for shard in entry.shards)
        self._open: OrderedDict[int, OpenShard] = OrderedDict()
        self._decoded: Decoded | None = None
        self.views: NDArray[np.int64] | None = None
        if manifest.views_per_sample > 1 and split == "train":
            self.views = group_views(self.name, self._ids(), manifest.views_per_sample)

    def read_sample(self, shard: int, row: int) -> Sample:
        """Sample ``row`` of shard ``shard``; see ``Source``."""
        if self._decoded is not None:
            return self._decoded.read_sample(self._starts[shard] + row)
        opened = self._shard(shard)
        where = f"{opened.name}, sample {opened.key(row)}"
        member = self.label_type.member
        try:
            members = opened.members(row, ("png", member))
        except (Mismatch, OSError) as error:
            said = error.strerror if isinstance(error, OSError) else error
            raise UsageError(f"{where}: {said}") from None
        label = self._target(members[member], where)
        try:
            pixels = png.decode(members["png"], (self.image.height, self.image.width))
        except png.WrongSize as error:
            raise UsageError(f"{where}: the image has {error} as the manifest says") from None
        except (ValueError, LookupError, OSError) as error:
            if isinstance(error, UsageError):
                raise
            raise UsageError(f"{where}: the image is damaged: {error}") from None
        if self.image.channels == 1 and pixels.ndim == 3:  # a gray set stored as RGB
            pixels = pixels[:, :, 0]
        return Sample(pixels, label)

    def key(self, shard: int, row: int) -> str:
        """The name of sample ``row`` of shard ``shard``."""
        return self._shard(shard).key(row)

    def prefetch(self, shards: Sequence[int]) -> None:
        """See ``Source``."""
        if self._decoded is None:
            self._shelf.prefetch(shards)

    def use(self, decoded: Decoded) -> None:
        """Take samples from a decoded copy from now on."""
        self._decoded = decoded

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": OrderedDict()}

    def _shard(self, shard: int) -> OpenShard:
        opened = self._open.get(shard)
        if opened is None:
            path = self._shelf.locate(shard)
            try:
                opened = OpenShard(path, self._members, self.shard_sizes[shard])
            except Mismatch as error:
                raise UsageError(str(error)) from None
            self._open[shard] = opened
            if len(self._open) > _OPEN_SHARDS:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(shard)
        return opened

    def _target(self, content: bytes, where: str) -> Label:
        if self.label_type.dense:
            return self._mask(content, where)
        return self._label(content, where)

    def _mask(self, content: bytes, where: str) -> Mask:
        expected = (self.image.height, self.image.width)
        try:
            if (found := png.size_of(content)) != expected:
                raise ValueError("it has {1}x{0} pixels, not {3}x{2}".format(*found, *expected))
            mask = self.label_type.decode(content).mask
        except (ValueError, LookupError, OSError) as error:
            raise UsageError(f"{where}: the mask is damaged: {error}") from None
        if mask is None or mask.ndim != 2:
            raise UsageError(f"{where}: the mask is not gray")
        classes = classes_of_ours(mask)
        check_classes(classes, self.num_classes, f"{where}, its mask")
        return classes

    def _label(self, content: bytes, where: str) -> Label:
        try:
            labels = self.label_type.decode(content).labels
        except ValueError as error:
            raise UsageError(f"{where}: {error}") from None
        for label in labels:
            self._check_label(label, where)
        return labels[0] if self.label_type.one_label else labels

    def _check_label(self, label: int, where: str) -> None:
        if not 0 <= label < self.num_classes:
            raise UsageError(
                f"{where}: the label {label} is not below the number of classes, {self.num_classes}"
            )

    def _keys(self, shard: int, data: bytes | None) -> NDArray[np.bytes_]:
        """The keys of a shard, from the content of its index file if that is right."""
        if data is not None:
            samples, size = self.shard_sizes[shard], self._shard_bytes[shard]
            with contextlib.suppress(ValueError):  # the shard itself knows better
                return np.asarray(index_from(data, self._members, samples, size)["key"])
        return np.asarray(self._shard(shard).index["key"])

    def _ids(self) -> Iterator[NDArray[np.int64]]:
        """Category and instance of the samples of every shard, int64 (n, 2), in order."""
        for shard, data in enumerate(self._shelf.read_indexes()):
            keys = [bytes(key).split(b"_") for key in self._keys(shard, data)]
            yield np.array(keys, np.bytes_).astype(np.int64)


def open_split(folder: Path, manifest: Manifest, split: str) -> ShardSource:
    """A split of a local dataset folder.

    Raises:
        UsageError: if there is no such split, or a shard is missing or cut short.
    """
    entry = split_of(manifest, split, str(folder))
    return ShardSource(str(folder), manifest, split, FolderShelf(folder, entry))
