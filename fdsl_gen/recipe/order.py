"""Which samples stand in which shard, and in what order: pure functions of the recipe.

The order of a split is made of rounds. In round j a keyed permutation of the categories gives the
j-th *work group* of each: instances that share work (variants/base.py). Shard s of S
holds positions ``[s n / S, (s + 1) n / S)`` of that sequence, in a keyed permutation. Scene sets
stand in the order of their images.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from fdsl_gen.core.keys import Key, permutation
from fdsl_gen.recipe.recipe import Recipe, Split
from fdsl_gen.variants.base import Variant


class SampleId(NamedTuple):
    """Identity of an image within a dataset; ``category`` is -1 in scene sets."""

    category: int
    instance: int

    @property
    def key(self) -> str:
        """Name of the sample in a shard."""
        if self.category < 0:
            return f"{self.instance:08d}"
        return f"{self.category:05d}_{self.instance:05d}"

    @classmethod
    def from_key(cls, key: str) -> "SampleId":
        """The inverse of :attr:`key`."""
        category, _, instance = key.rpartition("_")
        return cls(int(category) if category else -1, int(instance))


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of a dataset.

    Attributes:
        split: the split it belongs to.
        index: its place in the split, from 0.
        start, stop: the positions of the split's order that it holds.
    """

    split: Split
    index: int
    start: int
    stop: int

    @property
    def num_samples(self) -> int:
        return self.stop - self.start

    def stem(self, name: str) -> str:
        """File name without its ending."""
        return f"{name}-{self.split}-{self.index:06d}"


def shards_of(recipe: Recipe) -> list[Shard]:
    """All shards of a dataset, training first."""
    shards = []
    for split in ("train", "validation"):
        total = recipe.num_runs * len(recipe.instances_of(split))
        count = recipe.num_shards_of(split)
        for s in range(count):
            shards.append(Shard(split, s, s * total // count, (s + 1) * total // count))
    return shards


def _work_groups(recipe: Recipe, split: Split) -> list[list[int]]:
    """Instances of a category in a split, in work groups."""
    group_of = recipe.variant.work_group
    ordered = sorted(recipe.instances_of(split), key=lambda i: (group_of(i), i))
    return [list(members) for _, members in groupby(ordered, key=group_of)]


def _positions(recipe: Recipe, shard: Shard) -> Iterator[SampleId]:
    """Samples at positions ``start .. stop - 1`` of the order of the shard's split."""
    num_categories = recipe.num_categories
    begin = 0
    for j, group in enumerate(_work_groups(recipe, shard.split)):
        end = begin + num_categories * len(group)
        first, last = max(begin, shard.start), min(end, shard.stop)
        if first < last:
            key = Key(recipe.seed, f"{shard.split} round", (j,))
            categories = permutation(key, num_categories).tolist()
            for offset in range(first - begin, last - begin):
                rank, member = divmod(offset, len(group))
                yield SampleId(categories[rank], group[member])
        begin = end


def samples_of(recipe: Recipe, shard: Shard) -> list[SampleId]:
    """Samples of a shard in the order in which they stand in the file."""
    if recipe.variant.SCENE:
        first = recipe.instances_of(shard.split).start
        return [SampleId(-1, first + i) for i in range(shard.start, shard.stop)]
    samples = list(_positions(recipe, shard))
    indices = (recipe.num_shards_of(shard.split), shard.index)
    key = Key(recipe.seed, f"{shard.split} shard", indices)
    return [samples[i] for i in permutation(key, len(samples))]


def sharing_order(variant: Variant, samples: Sequence[SampleId]) -> list[int]:
    """Numbers of the samples in the order in which to draw them: what shares work stands together.

    That is the order of (category, work group, instance).
    """
    group_of = variant.work_group
    return sorted(
        range(len(samples)), key=lambda k: (samples[k][0], group_of(samples[k][1]), samples[k])
    )
