"""Which samples make up which batch: pure functions of the seed and the epoch.

An epoch permutes the shards, then the samples inside windows of 16 shards, so that a reader touches
few files at a time however large the set is. A run is the endless concatenation of epochs, and
batch b is positions ``[b * B, (b + 1) * B)`` of it. A resume therefore needs one number, and an
epoch may be shorter than a batch.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.seeding import Key, permutation

WINDOW = 16  # shards


class Position(NamedTuple):
    """A sample at a place of the run: ``number`` counts the samples of the split in file order."""

    epoch: int
    shard: int
    row: int
    number: int


class Plan(Protocol):
    """What a loader is to deliver."""

    def batch(self, index: int) -> list[Position]:
        """The samples of batch ``index``."""
        ...


class Order:
    """The shuffled, endless order of training.

    Any batch can be had without the ones before it; taking them in order reuses the permutation of
    the current window.

    Args:
        shard_sizes: samples in each shard, in file order.
        seed: seed of the run.
        batch_size: global batch size B.
    """

    def __init__(self, shard_sizes: Sequence[int], seed: int, batch_size: int) -> None:
        self._sizes = np.asarray(shard_sizes, np.int64)
        self._starts = np.cumsum(self._sizes) - self._sizes
        self._seed = seed
        self._batch_size = batch_size
        self._epoch = -1
        self._shards: NDArray[np.int64] = self._sizes  # permuted shard numbers of the epoch
        self._ends: NDArray[np.int64] = self._sizes  # first position after each window
        self._window = -1
        self._samples: NDArray[np.int64] = self._sizes  # (n, 3) shard, row, number, of the window

    @property
    def num_samples(self) -> int:
        """Samples in an epoch."""
        return int(self._sizes.sum())

    def batch(self, index: int) -> list[Position]:
        """The samples of batch ``index``, ``batch_size`` of them."""
        return self.positions(index * self._batch_size, self._batch_size)

    def positions(self, start: int, count: int) -> list[Position]:
        """``count`` samples of the endless order from position ``start`` on."""
        found: list[Position] = []
        while len(found) < count:
            epoch, offset = divmod(start + len(found), self.num_samples)
            self._go_to(epoch, offset)
            first = offset - (int(self._ends[self._window]) - len(self._samples))
            rows = self._samples[first : first + count - len(found)].tolist()
            found += [Position(epoch, shard, row, number) for shard, row, number in rows]
        return found

    def _go_to(self, epoch: int, offset: int) -> None:
        """Make the window that holds position ``offset`` of ``epoch`` the current one."""
        if epoch != self._epoch:
            self._shards = permutation(Key(self._seed, "order shards", (epoch,)), len(self._sizes))
            windows = np.add.reduceat(self._sizes[self._shards], range(0, len(self._sizes), WINDOW))
            self._ends = np.cumsum(windows)
            self._epoch, self._window = epoch, -1
        window = int(np.searchsorted(self._ends, offset, side="right"))
        if window != self._window:
            shards = self._shards[window * WINDOW : (window + 1) * WINDOW]
            samples = np.concatenate([self._rows(int(shard)) for shard in shards])
            key = Key(self._seed, "order window", (epoch, window))
            self._samples = samples[permutation(key, len(samples))]
            self._window = window

    def _rows(self, shard: int) -> NDArray[np.int64]:
        """All samples of a shard, int64 (n, 3): shard, row, number."""
        rows = np.arange(self._sizes[shard])
        return np.stack([np.full_like(rows, shard), rows, self._starts[shard] + rows], axis=1)


class Sequential:
    """One pass in file order, for validation; the last batch may be short.

    Args:
        shard_sizes: samples in each shard, in file order.
        batch_size: samples per batch.
    """

    def __init__(self, shard_sizes: Sequence[int], batch_size: int) -> None:
        self._sizes = np.asarray(shard_sizes, np.int64)
        self._ends = np.cumsum(self._sizes)
        self._batch_size = batch_size

    @property
    def num_batches(self) -> int:
        """Batches in the pass."""
        return -int(-self._ends[-1] // self._batch_size)

    def batch(self, index: int) -> list[Position]:
        """The samples of batch ``index``, all of epoch 0."""
        first = index * self._batch_size
        numbers = np.arange(first, min(first + self._batch_size, int(self._ends[-1])))
        shards = np.searchsorted(self._ends, numbers, side="right")
        rows = numbers - (self._ends[shards] - self._sizes[shards])
        return [
            Position(0, shard, row, number)
            for shard, row, number in zip(
                shards.tolist(), rows.tolist(), numbers.tolist(), strict=True
            )
        ]
