"""What a label type says of itself to the rest of the generator."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_CLASSES = 1_000_000  # where no number of samples bounds it


class Target(NamedTuple):
    """What a sample says of its image. The content digest covers all of it.

    Attributes:
        labels: one, several, or none where there is a mask of categories; of instances one each.
        mask: uint8 (H, W) of categories, or of numbers of instances, 0 the background.
    """

    labels: tuple[int, ...] = ()
    mask: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class LabelType(ABC):
    """How labels stand in shards, and what others are told of them. Equal if of one class.

    Attributes:
        name: ``task`` of the manifest.
        member: ending of the member that holds the labels.
        max_categories: how many can be told apart; None: any number.
        one_label: whether an image has one label, and nothing else.
        dense: whether a mask of the image's size stands for labels.
        panels: images that show a sample on a contact sheet.
        hub_task: task category of the Hugging Face Hub.
        card_text: how the dataset card describes the member.
        card_feature: the member, as a feature of the library ``datasets``.
    """

    name: ClassVar[str]
    member: ClassVar[str]
    max_categories: ClassVar[int | None] = None
    one_label: ClassVar[bool] = False
    dense: ClassVar[bool] = False
    panels: ClassVar[int] = 1
    hub_task: ClassVar[str]
    card_text: ClassVar[str]
    card_feature: ClassVar[Mapping[str, Any]]

    def num_classes(self, num_categories: int) -> int:
        """Labels are below it."""
        return num_categories

    def max_classes(self, num_samples: int) -> int:
        """The most classes that a manifest may speak of."""
        return MAX_CLASSES

    @abstractmethod
    def target(
        self, category: int, labels: tuple[int, ...] | None, mask: NDArray[np.uint8] | None
    ) -> Target:
        """The target of a drawn image.

        Args:
            category: of the sample, -1 in scene sets.
            labels, mask: what the variant gave (``Rendered``).
        """

    def encode(self, target: Target) -> dict[str, bytes]:
        """Members by ending, without the image and without the ``.json``."""
        return {}

    def facts(self, target: Target) -> dict[str, Any]:
        """What the ``.json`` of a sample begins with."""
        return {}

    @abstractmethod
    def decode(self, content: bytes) -> Target:
        """The target in the content of :attr:`member`.

        Raises:
            ValueError: if there is none in it.
        """

    @abstractmethod
    def files(self, key: str, target: Target, members: Mapping[str, bytes]) -> dict[str, bytes]:
        """The files of a sample in an exported split, by path relative to its folder.

        The image is the first one.
        """

    def csv_labels(self, target: Target) -> str | None:
        """The sample's labels in the table ``labels.csv``; None: such sets have no table."""
        return None
