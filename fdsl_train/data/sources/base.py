"""What every kind of training data looks like to the loader."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fdsl_gen.archive.label_types import LabelType
from fdsl_gen.core.errors import UsageError
from fdsl_train.data.masks import Mask
from fdsl_train.data.sampler import EndlessOrder, MultiViewSampler, Order, Plan, Position

Picture = Image.Image | NDArray[np.uint8]
Label = int | tuple[int, ...] | Mask


@dataclass(frozen=True)
class Sample:
    """An image and what is known of it.

    Attributes:
        image: a Pillow image, or uint8 (H, W) or (H, W, 3).
        label: 0 <= label < num_classes; in sets of several labels per image, all of them; in
            sets with masks the mask, (H, W) like the image.
    """

    image: Picture
    label: Label


class Source(Protocol):
    """A set of labeled images, in files ("shards") of known sizes.

    Attributes:
        name: how messages call it.
        shard_sizes: samples in each shard.
        num_classes: labels are below it.
        class_names: by label, where the data has names.
        digest: hexadecimal; two sources with the same digest train alike.
        label_type: what images are labeled with; one that there is a training task for.
        views: int64 (num_samples, K, 2) where K instances count as one sample (manifest,
            ``views_per_sample``): shard and row of each; None where every instance is a sample.
    """

    name: str
    shard_sizes: tuple[int, ...]
    num_classes: int
    class_names: tuple[str, ...] | None
    digest: str
    label_type: LabelType
    views: NDArray[np.int64] | None

    def read_sample(self, shard: int, row: int) -> Sample:
        """Sample ``row`` of shard ``shard``.

        Raises:
            UsageError: names the file and the sample that cannot be used, and why.
        """
        ...

    def prefetch(self, shards: Sequence[int]) -> None:
        """Begin to bring shards near that will be read soon; does not wait."""
        ...


class Pictures(Protocol):
    """Pictures to mix into training images, by number; their labels are of no account.

    Attributes:
        name: how messages call it.
        count: of pictures, at least one.
        digest: hexadecimal; two sets with the same digest train alike.
    """

    name: str
    count: int
    digest: str

    def read(self, number: int) -> Picture:
        """Picture ``number``, 0 <= number < count.

        Raises:
            UsageError: names the file that cannot be used, and why.
        """
        ...


@runtime_checkable
class ReadsTogether(Protocol):
    """A source whose samples share work, or have to be made ready for."""

    def prepare(self) -> None:
        """What is done once, in the process that starts loader processes, before it starts them."""
        ...

    def read_together(self, positions: Sequence[Position]) -> Iterator[tuple[int, Sample]]:
        """Place in ``positions``, and sample; in any order, one after the other."""
        ...


def read_samples(source: Source, positions: Sequence[Position]) -> Iterator[tuple[int, Sample]]:
    """Place in ``positions``, and sample, in the order in which the source gives them.

    Raises:
        UsageError: if one of them cannot be used; without work to share, the first.
    """
    if isinstance(source, ReadsTogether):
        return source.read_together(positions)
    return ((place, source.read_sample(p.shard, p.row)) for place, p in enumerate(positions))


@runtime_checkable
class OrdersItself(Protocol):
    """A source with an order of training of its own.

    Attributes:
        num_samples: what an epoch shows.
    """

    num_samples: int

    def order(self, *, seed: int, batch_size: int, repeats: int) -> Plan:
        """See :func:`order_of`."""
        ...


def num_samples(source: Source) -> int:
    """All samples of a source: what an epoch shows."""
    if isinstance(source, OrdersItself):
        return source.num_samples
    return sum(source.shard_sizes) if source.views is None else len(source.views)


def order_of(source: Source, *, seed: int, batch_size: int, repeats: int) -> Plan:
    """The shuffled, endless order in which training takes the samples of a source.

    Args:
        source: what to order.
        seed: of the run.
        batch_size: global batch size.
        repeats: views of a sample in a row.
    """
    if isinstance(source, OrdersItself):
        return source.order(seed=seed, batch_size=batch_size, repeats=repeats)
    return own_order(source, seed=seed, batch_size=batch_size, repeats=repeats)


def own_order(source: Source, *, seed: int, batch_size: int, repeats: int) -> EndlessOrder:
    """The order of a source that is one set; see :func:`order_of`."""
    if source.views is None:
        return Order(source.shard_sizes, seed, batch_size, repeats)
    order = Order((len(source.views),), seed, batch_size, repeats)
    return MultiViewSampler(order, source.views, seed, repeats)


def group_views(name: str, ids: Iterable[NDArray[np.int64]], count: int) -> NDArray[np.int64]:
    """``Source.views`` of a set of which neighboring instances count as one sample.

    Args:
        name: how messages call the set.
        ids: category and instance of the samples of every shard, int64 (n, 2), in order.
        count: how many instances count as one.

    Raises:
        UsageError: if a category lacks some.
    """
    places: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
    for shard, own in enumerate(ids):
        for row, (category, instance) in enumerate(own.tolist()):
            group = places.setdefault((category, instance // count), [])
            group.append((instance, shard, row))
    table = [sorted(places[group]) for group in sorted(places)]
    if any(len(group) != count for group in table):
        raise UsageError(f"{name}: some categories lack one of their {count} instances")
    return np.array(table, np.int64)[:, :, 1:]
