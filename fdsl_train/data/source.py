"""What every kind of training data looks like to the loader."""

from dataclasses import dataclass
from typing import Protocol

from PIL import Image


@dataclass(frozen=True)
class Sample:
    """An image and its label.

    Attributes:
        image: RGB, or L where the file is grey.
        label: 0 <= label < num_classes.
    """

    image: Image.Image
    label: int


class Source(Protocol):
    """A set of labelled images, in files ("shards") of known sizes.

    Attributes:
        name: how messages call it.
        shard_sizes: samples in each shard.
        num_classes: labels are below it.
        class_names: by label, where the data has names.
        digest: hexadecimal; two sources with the same digest train alike.
    """

    name: str
    shard_sizes: tuple[int, ...]
    num_classes: int
    class_names: tuple[str, ...] | None
    digest: str

    def take(self, shard: int, row: int) -> Sample:
        """Sample ``row`` of shard ``shard``.

        Raises:
            UsageError: names the file and the sample that cannot be used, and why.
        """
        ...


def num_samples(source: Source) -> int:
    """All samples of a source."""
    return sum(source.shard_sizes)
