"""Several sets as one: their classes side by side, their samples in given shares.

An epoch of the mixture shows as many samples as there are in all sets together, of each set exactly
its share. Which set stands at a place is a pure function of the place, and the samples of a set
come in the order that it has alone; so a resume is one number here, too.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.core import settings
from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.keys import Key, permutation
from fdsl_train.data.sampler import EndlessOrder, Plan, Position, repeated
from fdsl_train.data.sources.base import (
    ReadsTogether,
    Sample,
    Source,
    num_samples,
    own_order,
    read_samples,
)
from fdsl_train.data.sources.formula import FormulaSource

_WINDOW = 256  # samples; the shares are exact in every window, but for one sample


class MixtureSource:
    """Sets side by side; see ``Source`` for the attributes.

    Args:
        parts: the sets.
        weights: of each set, for its share of what is shown; None: by size.
        first_labels: what is added to the labels of each set.
        num_classes: of all sets together.
        class_names: of all of them.

    Attributes:
        parts, first_labels: as given.
        num_samples: of all sets: what an epoch shows.
        shares: of them, samples of each set.
    """

    views: NDArray[np.int64] | None = None  # of a part; see order

    def __init__(
        self,
        parts: Sequence[Source],
        weights: Sequence[float] | None,
        first_labels: Sequence[int],
        num_classes: int,
        class_names: tuple[str, ...],
    ) -> None:
        self.parts = tuple(parts)
        self.name = " + ".join(part.name for part in parts)
        self.num_classes = num_classes
        self.class_names: tuple[str, ...] | None = class_names
        self.label_type = parts[0].label_type
        self.shard_sizes = tuple(size for part in parts for size in part.shard_sizes)
        self.num_samples = sum(map(num_samples, parts))
        self.shares = shares_of(self.num_samples, weights or [num_samples(part) for part in parts])
        self.digest = settings.digest(
            {"parts": [part.digest for part in parts], "shares": self.shares}
        )
        self.first_labels = tuple(first_labels)
        self._shards = list(accumulate((len(part.shard_sizes) for part in parts), initial=0))

    def order(self, *, seed: int, batch_size: int, repeats: int) -> Plan:
        """The order of training; see ``order_of``."""
        own = [own_order(p, seed=seed, batch_size=batch_size, repeats=repeats) for p in self.parts]
        numbers = accumulate((sum(part.shard_sizes) for part in self.parts), initial=0)
        return MixtureOrder(
            [
                Part(order, share, shard, number)
                for order, share, shard, number in zip(
                    own, self.shares, self._shards, numbers, strict=False
                )
            ],
            seed,
            batch_size,
            repeats,
        )

    def read_sample(self, shard: int, row: int) -> Sample:
        """See ``Source``."""
        which = self._part(shard)
        sample = self.parts[which].read_sample(shard - self._shards[which], row)
        return self._labeled(which, sample)

    def prepare(self) -> None:
        """See ``ReadsTogether``."""
        for part in self.parts:
            if isinstance(part, ReadsTogether):
                part.prepare()

    def read_together(self, positions: Sequence[Position]) -> Iterator[tuple[int, Sample]]:
        """See ``ReadsTogether``: the samples of one set after those of another."""
        for which, part in enumerate(self.parts):
            places = [k for k, at in enumerate(positions) if self._part(at.shard) == which]
            own = [
                positions[k]._replace(shard=positions[k].shard - self._shards[which])
                for k in places
            ]
            for number, sample in read_samples(part, own):
                yield places[number], self._labeled(which, sample)

    def prefetch(self, shards: Sequence[int]) -> None:
        """See ``Source``."""
        for which, part in enumerate(self.parts):
            own = [shard - self._shards[which] for shard in shards if self._part(shard) == which]
            if own:
                part.prefetch(own)

    def _part(self, shard: int) -> int:
        return bisect_right(self._shards, shard) - 1

    def _labeled(self, which: int, sample: Sample) -> Sample:
        first, label = self.first_labels[which], sample.label
        assert isinstance(label, int | tuple)  # masks are refused
        if isinstance(label, tuple):
            return Sample(sample.image, tuple(first + one for one in label))
        return Sample(sample.image, first + label)


def shares_of(count: int, weights: Sequence[float]) -> list[int]:
    """``count`` divided in the ratio of the weights: whole numbers, those cut off most rounded up.

    Every share is at least one, at the cost of the largest; there are at most ``count`` weights.
    """
    exact = [Fraction(weight) for weight in weights]
    wanted = [count * weight / sum(exact) for weight in exact]
    shares = [max(1, int(share)) for share in wanted]
    order = sorted(range(len(shares)), key=lambda k: (shares[k] - wanted[k], k))
    for k in order[: max(0, count - sum(shares))]:
        shares[k] += 1
    for _ in range(sum(shares) - count):
        shares[shares.index(max(shares))] -= 1
    return shares


class Part:
    """A set in an order of several.

    Args:
        order: its own.
        share: samples of it in an epoch of the mixture.
        first_shard, first_number: what is added to its shards and sample numbers.
    """

    def __init__(
        self, order: EndlessOrder, share: int, first_shard: int, first_number: int
    ) -> None:
        self.order = order
        self.share = share
        self._first_shard = first_shard
        self._first_number = first_number

    def moved(self, position: Position) -> Position:
        """A position of the set as one of the mixture."""
        shard, number = position.shard + self._first_shard, position.number + self._first_number
        return position._replace(shard=shard, number=number)

    def next_shards(self, start: int) -> list[int]:
        """Shards, of the mixture, that will be read after sample ``start`` of the set."""
        return [shard + self._first_shard for shard in self.order.shards_after(start)]


class MixtureOrder:
    """Places of the run divided among sets, each in an endless order of its own.

    Args:
        parts: the sets.
        seed: of the run.
        batch_size: global batch size.
        repeats: places in a row that each sample takes.
    """

    def __init__(self, parts: Sequence[Part], seed: int, batch_size: int, repeats: int) -> None:
        self._parts = parts
        self._length = sum(part.share for part in parts)
        self._seed = seed
        self._batch_size = batch_size
        self._repeats = repeats

    def batch(self, index: int) -> list[Position]:
        """The samples of batch ``index``."""
        found = []
        places = repeated(self._taken, index, self._batch_size, self._repeats)
        for (which, position), repeat in places:
            part = self._parts[which]
            found.append(part.moved(part.order.turn(position._replace(repeat=repeat))))
        return found

    def next_shards(self, index: int) -> Sequence[int]:
        """Shards that batches soon after ``index`` will read, of every set."""
        start = index * self._batch_size // self._repeats
        epoch, offset = divmod(start, self._length)
        before = self._counts(offset)
        return [
            shard
            for part, count in zip(self._parts, before, strict=True)
            for shard in part.next_shards(epoch * part.share + count)
        ]

    def _taken(self, start: int, count: int) -> list[tuple[int, Position]]:
        """Set, and position in it, of ``count`` samples from ``start`` on, without repeats."""
        chosen: list[int] = []
        first: list[int] | None = None
        while len(chosen) < count:
            epoch, offset = divmod(start + len(chosen), self._length)
            begin = offset - offset % _WINDOW
            sets, before = self._window(epoch, begin)
            if first is None:
                skipped = Counter(sets[: offset - begin])
                first = [
                    epoch * part.share + before[which] + skipped[which]
                    for which, part in enumerate(self._parts)
                ]
            chosen += sets[offset - begin :][: count - len(chosen)]
        assert first is not None
        totals = Counter(chosen)
        own = [
            iter(part.order.positions(first[which], totals[which]))
            for which, part in enumerate(self._parts)
        ]
        return [(which, next(own[which])) for which in chosen]

    def _window(self, epoch: int, begin: int) -> tuple[list[int], list[int]]:
        """The set of every place of a window, and how many of each came before in the epoch."""
        before = self._counts(begin)
        after = self._counts(min(begin + _WINDOW, self._length))
        counts = np.subtract(after, before)
        sets = np.repeat(np.arange(len(counts)), counts)
        key = Key(self._seed, "mixture", (epoch, begin // _WINDOW))
        return sets[permutation(key, len(sets))].tolist(), before

    def _counts(self, places: int) -> list[int]:
        """How many of the first places of an epoch each set has: within one of its share of them.

        The first set gets its share rounded down, the next one its share of what is left, and so
        on; in the last place every set has exactly its share.
        """
        counts, left, length = [], places, self._length
        for part in self._parts:
            own = left * part.share // length if length else 0
            counts.append(own)
            left, length = left - own, length - part.share
        return counts


def mix(sets: Sequence[Source], weights: Sequence[float] | None) -> MixtureSource:
    """Several sets as one to train on, their classes side by side.

    Args:
        sets: at least two.
        weights: of each, for its share of what is shown; None: by size.

    Raises:
        UsageError: if their labels are of several types, or are masks.
    """
    first, *others = sets
    for other in others:
        if other.label_type != first.label_type:
            raise UsageError(
                f"{first.name} has labels of the type {first.label_type.name} and {other.name} of"
                f" the type {other.label_type.name}; sets that are trained together need one type"
            )
    if first.label_type.name not in ("single", "multi"):
        raise UsageError(
            f"{first.name} is a {first.label_type.name} dataset; only sets of labels can be trained"
            " together"
        )
    if weights is not None and len(weights) != len(sets):
        raise UsageError(
            f"data_weights: {len(weights)} weights for {len(sets)} sets; give one for every --data"
        )
    starts = list(accumulate((one.num_classes for one in sets), initial=0))
    return MixtureSource(sets, weights, starts[:-1], starts[-1], names_of(sets))


def mix_validation(mixture: MixtureSource, held: Sequence[Source | None]) -> MixtureSource | None:
    """The parts to validate on of those sets that have one, with the labels of the mixture.

    Args:
        mixture: of the training parts.
        held: of every set, in the same order; None where there is none.

    Returns:
        None if no set has one.
    """
    parts = [(one, k) for k, one in enumerate(held) if one is not None]
    if not parts:
        return None
    assert mixture.class_names is not None
    return MixtureSource(
        [one for one, _ in parts],
        None,
        [mixture.first_labels[k] for _, k in parts],
        mixture.num_classes,
        mixture.class_names,
    )


def names_of(sets: Sequence[Source]) -> tuple[str, ...]:
    """Names of all classes: those of the sets, with the number or the set in front where needed.

    A set without names of its own gives ``SET LABEL``. Where two sets have a class of one name, all
    have their set in front.
    """
    own = [one.class_names or tuple(f"{k:05d}" for k in range(one.num_classes)) for one in sets]
    plain = [name for names in own for name in names]
    if len(set(plain)) == len(plain) and all(one.class_names for one in sets):
        return tuple(plain)
    titles = [one.name for one in sets]
    if len(set(titles)) < len(titles):
        titles = [f"{number} {title}" for number, title in enumerate(titles)]
    return tuple(
        name if source.class_names and Counter(plain)[name] == 1 else f"{title} {name}"
        for source, title, names in zip(sets, titles, own, strict=True)
        for name in names
    )


def parts_of(source: Source) -> tuple[tuple[Source, Fraction], ...]:
    """The sets that a source is made of, and the share of each in what is shown."""
    if not isinstance(source, MixtureSource):
        return ((source, Fraction(1)),)
    whole = source.num_samples
    return tuple(
        (part, Fraction(share, whole))
        for part, share in zip(source.parts, source.shares, strict=True)
    )


def show_fresh(source: Source) -> None:
    """Let every epoch of a set show images that none showed before.

    Raises:
        UsageError: if the source, or a part of it, has no others than those it shows.
    """
    for part, _ in parts_of(source):
        if not isinstance(part, FormulaSource):
            raise UsageError(
                f"--fresh-instances: {part.name} has the images that it has; new ones can be drawn"
                " from a recipe, --data recipe:NAME"
            )
        part.show_fresh()
