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

from fdsl_gen.archive import content_digest
from fdsl_gen.archive.manifest import ImageEntry
from fdsl_gen.core.errors import Mismatch
from fdsl_gen.core.locks import StillLocked, locked
from fdsl_gen.core.user_dirs import NotPrivate, temporary_folder
from fdsl_train.data.sampler import Position
from fdsl_train.data.sources.base import Sample, Source, read_samples

_PIXELS = "pixels.npy"  # uint8 (n, H, W) or (n, H, W, 3)
_LABELS = "labels.npy"  # int32 (n, L), filled up with -1
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
        single: whether images have one label.
    """

    def __init__(self, folder: Path, single: bool) -> None:
        self._folder = folder
        self._single = single
        self._pixels: NDArray[np.uint8] | None = None
        self._labels: NDArray[np.int32] | None = None

    def read_sample(self, number: int) -> Sample:
        """Sample ``number`` in file order; its image is a view of the mapped file."""
        if self._pixels is None or self._labels is None:
            self._pixels = np.load(self._folder / _PIXELS, mmap_mode="r")
            self._labels = np.load(self._folder / _LABELS, mmap_mode="r")
        labels = self._labels[number]
        if self._single:
            return Sample(self._pixels[number], int(labels[0]))
        return Sample(self._pixels[number], tuple(labels[labels >= 0].tolist()))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_pixels": None, "_labels": None}


def decoded_bytes(source: Decodable) -> int:
    """Size of a source's pixels, decoded."""
    image = source.image
    return sum(source.shard_sizes) * image.height * image.width * image.channels


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
    return Decoded(final, source.label_type.one_label)


def _decode(source: Decodable, final: Path) -> None:
    fresh = final.with_suffix(".tmp")
    shutil.rmtree(fresh, ignore_errors=True)  # of a process that was killed here
    fresh.mkdir()
    try:
        image, count = source.image, sum(source.shard_sizes)
        shape = (count, image.height, image.width) + ((3,) if image.channels == 3 else ())
        pixels = np.lib.format.open_memmap(fresh / _PIXELS, "w+", np.uint8, shape)
        labels: list[tuple[int, ...]] = [()] * count
        checked = source.content_digests
        number = 0
        for shard, size in enumerate(source.shard_sizes):
            source.prefetch(range(shard + 1, min(shard + _AHEAD, len(source.shard_sizes))))
            total = 0
            places = [Position(0, shard, row, number + row) for row in range(size)]
            for row, sample in read_samples(source, places):
                assert not isinstance(sample.label, np.ndarray)  # of labels, not of masks
                own = sample.label if isinstance(sample.label, tuple) else (sample.label,)
                pixels[number + row] = sample.image
                labels[number + row] = own
                if checked is not None:
                    key = source.key(shard, row)
                    total += content_digest.sample_digest(key, own, pixels[number + row])
            number += size
            # The copy is named by what it must hold, and other runs will trust the name.
            if checked is not None and content_digest.as_text(total) != checked[shard]:
                raise Mismatch(
                    f"{source.name}: shard {shard} of its split does not hold the images and labels"
                    " that its manifest says; fdsl-gen verify tells more"
                )
        pixels.flush()
        table = np.full((count, max(map(len, labels))), -1, np.int32)
        for number, own in enumerate(labels):
            table[number, : len(own)] = own
        np.save(fresh / _LABELS, table)
        fresh.rename(final)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
