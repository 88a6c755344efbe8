"""A small dataset decoded once: one file of pixels that every process of the machine maps.

Inflating a PNG costs more than cropping it, and a run of one image per category shows every image
tens of thousands of times. The copy lies in the temporary folder (``TMPDIR``), named by what is in
it, and later runs on the same data find it there.
"""

import shutil
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.archive.label_types import LabelType
from fdsl_gen.archive.manifest import ImageEntry
from fdsl_gen.archive.sample import digest_text, sample_digest
from fdsl_gen.core.errors import Mismatch
from fdsl_gen.core.locks import StillLocked, locked
from fdsl_gen.core.user_dirs import NotPrivate, temporary_folder
from fdsl_train.data.masks import classes_of_ours
from fdsl_train.data.sampler import Position
from fdsl_train.data.sources.base import Sample, Source, read_samples

_PIXELS = "pixels.npy"  # uint8 (n, H, W) or (n, H, W, 3)
_LABELS = "labels.npy"  # int32 (n, L), filled up with -1
_MASKS = "masks.npy"  # uint8 (n, H, W), of sets that have them instead of labels
_AHEAD = 8  # shards to fetch ahead, where they are in object storage


class Decodable(Source, Protocol):
    """A source whose images all have one shape.

    Attributes:
        image: that shape.
        content_digests: what each shard must hold (``fdsl_gen.archive.content_digest``); None
            where nothing is read.
    """

    image: ImageEntry
    content_digests: tuple[str, ...] | None

    def key(self, shard: int, row: int) -> str:
        """The name of a sample."""
        ...


class Decoded:
    """The decoded copy of a source. Made by :func:`decode_once`.

    Args:
        folder: where the copy is.
        label_type: what the images are labeled with.
    """

    def __init__(self, folder: Path, label_type: LabelType) -> None:
        self._folder = folder
        self._label_type = label_type
        self._pixels: NDArray[np.uint8] | None = None
        self._labels: NDArray[Any] | None = None

    def read_sample(self, number: int) -> Sample:
        """Sample ``number`` in file order; its image is a view of the mapped file."""
        if self._pixels is None or self._labels is None:
            kept = _MASKS if self._label_type.dense else _LABELS
            self._pixels = np.load(self._folder / _PIXELS, mmap_mode="r")
            self._labels = np.load(self._folder / kept, mmap_mode="r")
        pixels, labels = self._pixels[number], self._labels[number]
        if self._label_type.dense:
            return Sample(pixels, classes_of_ours(labels))
        if self._label_type.one_label:
            return Sample(pixels, int(labels[0]))
        return Sample(pixels, tuple(labels[labels >= 0].tolist()))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_pixels": None, "_labels": None}


def decoded_bytes(source: Decodable) -> int:
    """Size of a source's pixels, decoded, and of those of its masks."""
    image, planes = source.image, int(source.label_type.dense)
    return sum(source.shard_sizes) * image.height * image.width * (image.channels + planes)


def decode_once(source: Decodable) -> Decoded | None:
    """The decoded copy of a source, made now if this machine has none.

    Of several processes that ask at the same time one decodes and the others wait for it; if it is
    killed, the next one takes over.

    Returns:
        None if the temporary folder is not ours alone, or too small.

    Raises:
        UsageError: if a sample cannot be used.
        Mismatch: if a shard holds other images or labels than the manifest says.
    """
    try:
        base = temporary_folder("decoded-checked")
        final = base / source.digest
        with locked(base / f"{source.digest}.lock"):
            if not final.is_dir():
                if shutil.disk_usage(base).free < 1.1 * decoded_bytes(source):
                    return None
                _decode(source, final)
    except (NotPrivate, StillLocked, OSError):
        return None
    return Decoded(final, source.label_type)


def _decode(source: Decodable, final: Path) -> None:
    fresh = final.with_suffix(".tmp")
    shutil.rmtree(fresh, ignore_errors=True)  # of a process that was killed here
    fresh.mkdir()
    try:
        image, count = source.image, sum(source.shard_sizes)
        shape = (count, image.height, image.width) + ((3,) if image.channels == 3 else ())
        pixels = np.lib.format.open_memmap(fresh / _PIXELS, "w+", np.uint8, shape)
        labels: list[tuple[int, ...]] = [()] * count
        masks: np.memmap[Any, np.dtype[np.uint8]] | None = None
        if source.label_type.dense:
            masks = np.lib.format.open_memmap(fresh / _MASKS, "w+", np.uint8, shape[:3])
        checked = source.content_digests
        number = 0
        for shard, size in enumerate(source.shard_sizes):
            source.prefetch(range(shard + 1, min(shard + _AHEAD, len(source.shard_sizes))))
            total = 0
            places = [Position(0, shard, row, number + row) for row in range(size)]
            for row, sample in read_samples(source, places):
                at, own, mask = number + row, sample.label, None
                pixels[at] = sample.image
                if isinstance(own, np.ndarray):
                    assert masks is not None
                    masks[at], own = own, ()  # of 8 bits, as they stand in our files
                    mask = masks[at]
                labels[at] = own if isinstance(own, tuple) else (own,)
                if checked is not None:
                    key = source.key(shard, row)
                    total += sample_digest(key, labels[at], pixels[at], mask)
            number += size
            # The copy is named by what it must hold, and other runs will trust the name.
            if checked is not None and digest_text(total) != checked[shard]:
                raise Mismatch(
                    f"{source.name}: shard {shard} of its split does not hold the images and labels"
                    " that its manifest says; fdsl-gen verify tells more"
                )
        pixels.flush()
        if masks is not None:
            masks.flush()
        table = np.full((count, max(map(len, labels))), -1, np.int32)
        for number, own in enumerate(labels):
            table[number, : len(own)] = own
        np.save(fresh / _LABELS, table)
        fresh.rename(final)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
