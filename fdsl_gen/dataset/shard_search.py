"""In which shard a sample stands, without a table of all keys.

The order of a split (``recipe/order.py``) goes through the instances in rounds, and a round through
the categories by the ranks of their keyed words. Words are uniform, so that a word tells its rank
but for a few standard deviations, sqrt(categories) / 2: the sample stands in the shard at that
place or in a neighbor. Which instances share a round is read from the first shard, so that no kind
of dataset needs to be loaded to read one.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.archive.manifest import Manifest, ShardEntry
from fdsl_gen.core.keys import MAX_SEED, Key, words

_ENOUGH = 4096  # samples of a shard to find the instances of its round in

#: The keys in a shard, bytes (n,).
KeysOf = Callable[[ShardEntry], NDArray[np.bytes_]]


class ShardSearch:
    """Finds shards by the keys of samples.

    Args:
        manifest: of the dataset.
        keys_of: reads the index of a shard.
    """

    def __init__(self, manifest: Manifest, keys_of: KeysOf) -> None:
        self._keys_of = keys_of
        self._splits = {name: split.shards for name, split in manifest.splits.items()}
        self._ends = {
            name: list(accumulate(shard.samples for shard in shards))
            for name, shards in self._splits.items()
        }
        self._rounds: dict[str, tuple[int, int, int]] = {}
        values = manifest.recipe
        defaults = {"seed": 0, "num_categories": 0, "num_instances": 1, "num_images": 0}
        found = {
            name: values.get(name, default)
            for name, default in (defaults | {"validation_instances": 0}).items()
        }
        known = all(type(value) is int and 0 <= value < MAX_SEED for value in found.values())
        self._seed, self._categories = found["seed"], found["num_categories"]
        self._scene = bool(found["num_images"])
        self._length = found["num_images"] or found["num_instances"]
        self._border = self._length - found["validation_instances"] if known else 0
        # A part of a dataset, or one of another layout, is searched through.
        self._known = known and all(
            self._ends[name][-1] == self._runs * self._num_instances(name) for name in self._splits
        )

    @property
    def _runs(self) -> int:
        return 1 if self._scene else self._categories

    def _num_instances(self, split: str) -> int:
        return self._border if split == "train" else self._length - self._border

    def candidates(self, key: str) -> Iterator[ShardEntry]:
        """Shards that may hold a sample, the likely ones first; none if there is no such sample."""
        if not self._known:
            for shards in self._splits.values():
                yield from shards
            return
        category, instance = _parts(key, self._scene)
        if not (0 <= category < self._runs and 0 <= instance < self._length):
            return
        split = "train" if instance < self._border else "validation"
        shards = self._splits.get(split, ())
        if shards:
            guess = bisect_right(self._ends[split], self._position(split, category, instance))
            yield from (shards[k] for k in _outwards(guess, len(shards)))

    def _position(self, split: str, category: int, instance: int) -> int:
        """About where a sample stands in the order of its split; exact in scene sets."""
        first = 0 if split == "train" else self._border
        if self._scene:
            return instance - first
        first, width, period = self._round_of(split)
        cycle, offset = divmod(instance - first, period)
        number = offset // width
        key = Key(self._seed, f"{split} round", (number,))
        own = min(width, period - number * width)  # instances of the round in a whole cycle
        cycles, rest = divmod(self._num_instances(split), period)
        before = cycles * number * width + min(rest, number * width)
        size = cycles * own + min(max(rest - number * width, 0), own)
        rank = int(words(key.words, 1, category)[0]) * self._categories >> 64
        position: int = self._categories * before + rank * size + cycle * own + offset % width
        return position

    def _round_of(self, split: str) -> tuple[int, int, int]:
        """First instance, neighbors in a round, and after how many instances it goes on."""
        if split not in self._rounds:
            found = {
                int(bytes(key).rpartition(b"_")[2])
                for key in self._keys_of(self._splits[split][0])[:_ENOUGH].tolist()
            }
            first = min(found)
            after = next(i for i in range(first, max(found) + 2) if i not in found)
            again = min((i for i in found if i > after), default=first + self._length)
            self._rounds[split] = first, after - first, again - first
        return self._rounds[split]


def _parts(key: str, scene: bool) -> tuple[int, int]:
    """Category (0 in scene sets) and instance; (-1, -1) if it is not a key as it is written."""
    category, line, instance = key.rpartition("_")
    digits = (category + instance).isascii() and (category + instance).isdigit()
    if not digits or len(key) > 24 or bool(line) == scene or (line and not category):
        return -1, -1
    c, i = int(category or 0), int(instance)
    written = f"{i:08d}" if scene else f"{c:05d}_{i:05d}"
    return (c, i) if key == written else (-1, -1)


def _outwards(start: int, count: int) -> Iterator[int]:
    """``range(count)`` from ``start`` on, to both sides in turn."""
    start = min(max(start, 0), count - 1)
    yield start
    for step in range(1, count):
        if start + step < count:
            yield start + step
        if start - step >= 0:
            yield start - step
