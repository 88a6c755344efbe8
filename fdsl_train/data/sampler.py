"""Which samples make up which batch: pure functions of the seed and the epoch.

An epoch permutes the shards, then the samples inside windows of 16 shards, so that a reader touches
few files at a time however large the set is. A run is the endless concatenation of epochs, and
batch b is positions ``[b * B, (b + 1) * B)`` of it. A resume therefore needs one number, and an
epoch may be shorter than a batch. With repeated augmentation every sample stands several times in a
row; of a batch, process r of R takes places r, r + R, r + 2 R, ..., so that repeats go to different
processes (Hoffer et al., "Augment your batch", 2020; DeiT).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.core.keys import Key, permutation

T = TypeVar("T")

WINDOW = 16  # shards


class Position(NamedTuple):
    """A sample at a place of the run.

    Attributes:
        epoch: of the order.
        shard, row: where the sample is.
        number: counts the samples of the split in file order.
        repeat: which of the sample's views, with repeated augmentation.
    """

    epoch: int
    shard: int
    row: int
    number: int
    repeat: int = 0


class Plan(Protocol):
    """What a loader is to deliver."""

    def batch(self, index: int) -> list[Position]:
        """The samples of batch ``index``."""
        ...

    def next_shards(self, index: int) -> Sequence[int]:
        """Shards that batches soon after ``index`` will read, to be fetched ahead."""
        ...


class EndlessOrder(Plan, Protocol):
    """An order of which any stretch can be had, so that it can be one of several."""

    def positions(self, start: int, count: int) -> list[Position]:
        """``count`` samples of the endless order from position ``start`` on, without repeats."""
        ...

    def turn(self, position: Position) -> Position:
        """A position with its repeat known, at the place of the instance that is its turn."""
        ...

    def shards_after(self, start: int) -> Sequence[int]:
        """Shards that will be read soon after position ``start``, to be fetched ahead."""
        ...


def repeated(
    samples: Callable[[int, int], list[T]], index: int, batch_size: int, repeats: int
) -> list[tuple[T, int]]:
    """What stands at the places of a batch where each sample takes ``repeats`` places in a row.

    Args:
        samples: gives so many from a position on.
        index: of the batch.
        batch_size: places of it.
        repeats: of each sample.

    Returns:
        A sample and the number of its repeat, for every place.
    """
    start = index * batch_size
    first, end = start // repeats, -(-(start + batch_size) // repeats)
    places = [(one, repeat) for one in samples(first, end - first) for repeat in range(repeats)]
    skipped = start - first * repeats
    return places[skipped : skipped + batch_size]


class Order:
    """The shuffled, endless order of training.

    Any batch can be had without the ones before it; taking them in order reuses the permutation of
    the current window.

    Args:
        shard_sizes: samples in each shard, in file order.
        seed: seed of the run.
        batch_size: global batch size B.
        repeats: places in a row that each sample takes.
    """

    def __init__(
        self, shard_sizes: Sequence[int], seed: int, batch_size: int, repeats: int = 1
    ) -> None:
        self._sizes = np.asarray(shard_sizes, np.int64)
        self._starts = np.cumsum(self._sizes) - self._sizes
        self._seed = seed
        self._batch_size = batch_size
        self._repeats = repeats
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
        places = repeated(self.positions, index, self._batch_size, self._repeats)
        return [position._replace(repeat=repeat) for position, repeat in places]

    def next_shards(self, index: int) -> Sequence[int]:
        """The shards of the window after the one where batch ``index`` begins."""
        return self.shards_after(index * self._batch_size // self._repeats)

    def shards_after(self, start: int) -> Sequence[int]:
        """The shards of the window after the one that position ``start`` is in."""
        epoch, offset = divmod(start, self.num_samples)
        shards, ends = self._shuffled(epoch)
        window = int(np.searchsorted(ends, offset, side="right")) + 1
        if window == len(ends):
            (shards, _), window = self._shuffled(epoch + 1), 0
        return [int(shard) for shard in shards[window * WINDOW : (window + 1) * WINDOW]]

    def turn(self, position: Position) -> Position:
        """See ``EndlessOrder``: a sample has one instance."""
        return position

    def positions(self, start: int, count: int) -> list[Position]:
        """``count`` samples of the endless order from position ``start`` on, without repeats."""
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
            self._shards, self._ends = self._shuffled(epoch)
            self._epoch, self._window = epoch, -1
        window = int(np.searchsorted(self._ends, offset, side="right"))
        if window != self._window:
            shards = self._shards[window * WINDOW : (window + 1) * WINDOW]
            samples = np.concatenate([self._rows(int(shard)) for shard in shards])
            key = Key(self._seed, "order window", (epoch, window))
            self._samples = samples[permutation(key, len(samples))]
            self._window = window

    def _shuffled(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Shards in the order of an epoch, and the first position after each window of them."""
        shards = permutation(Key(self._seed, "order shards", (epoch,)), len(self._sizes))
        windows = np.add.reduceat(self._sizes[shards], range(0, len(self._sizes), WINDOW))
        return shards, np.cumsum(windows)

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

    def next_shards(self, index: int) -> Sequence[int]:
        """The shard after the one where batch ``index`` begins."""
        shard = int(np.searchsorted(self._ends, index * self._batch_size, side="right"))
        return range(shard + 1, min(shard + 2, len(self._sizes)))


_BATCHES_AHEAD = 8  # as many as two workers prepare
_SAMPLES_AHEAD = 256


class MultiViewSampler:
    """Several neighboring instances count as one sample of which each visit takes another.

    In every run of K visits a sample shows each of its K instances once, in an order of its own.

    Args:
        order: over the samples, all in shard 0.
        views: int64 (num_samples, K, 2): shard and row of each instance.
        seed: seed of the run.
        repeats: visits per epoch, that of ``order``.
    """

    def __init__(self, order: Order, views: NDArray[np.int64], seed: int, repeats: int) -> None:
        self._order = order
        self._views = views
        self._seed = seed
        self._repeats = repeats

    def batch(self, index: int) -> list[Position]:
        """The samples of batch ``index``, each at the place of the instance that is its turn."""
        return [self.turn(position) for position in self._order.batch(index)]

    def next_shards(self, index: int) -> Sequence[int]:
        """The shards of a batch some way ahead, which may be any."""
        ahead = self.batch(index + _BATCHES_AHEAD)
        return list(dict.fromkeys(position.shard for position in ahead))

    def positions(self, start: int, count: int) -> list[Position]:
        """See ``EndlessOrder``."""
        return self._order.positions(start, count)

    def shards_after(self, start: int) -> Sequence[int]:
        """See ``EndlessOrder``: of some samples on, which may be in any shard."""
        ahead = self._order.positions(start + _SAMPLES_AHEAD, _SAMPLES_AHEAD)
        return list(dict.fromkeys(self.turn(position).shard for position in ahead))

    def turn(self, position: Position) -> Position:
        """See ``EndlessOrder``."""
        visit = position.epoch * self._repeats + position.repeat
        cycle, turn = divmod(visit, self._views.shape[1])
        key = Key(self._seed, "views", (position.number, cycle))
        shard, row = self._views[position.number, permutation(key, self._views.shape[1])[turn]]
        return position._replace(shard=int(shard), row=int(row))
