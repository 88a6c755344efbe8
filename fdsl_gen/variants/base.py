"""What a kind of dataset promises to the rest of the generator, and what most kinds have alike."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.archive.label_types import SINGLE, LabelType
from fdsl_gen.core.keys import Key


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageSpec:
    """What all images of a dataset have in common.

    Attributes:
        height, width: pixels.
        channels: 1 (gray) or 3 (RGB).
        levels: the gray levels that occur, where they are few; None where any may.
    """

    height: int
    width: int
    channels: int = 1
    levels: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Category:
    """A label and the key of the parameters behind it; kinds add fields of their own."""

    index: int
    key: Key


@dataclass(frozen=True, slots=True)
class SearchedIfs(Category):
    """A category that was searched for: an iterated function system.

    Attributes:
        affine: coefficients, float64 (N, 6) in the plane, (N, 12) in space.
        cumulative: p_1 + ... + p_j, float64 (N,).
        num_candidates: systems looked at, this one included; 0 if it was given.
        quality: what it was accepted for: filling rate, or least variance.
    """

    affine: NDArray[np.float64]
    cumulative: NDArray[np.float64]
    num_candidates: int
    quality: float


class Job(NamedTuple):
    """One image to draw.

    Attributes:
        category: what ``Variant.category`` returned; None in scene sets, whose images hold several.
        instance: its number within the category, or within the scene set.
        key: of the role ``instance`` (category, instance) or ``image`` (number).
        num_categories: of the dataset; only for kinds that say ``uses_num_categories``.
    """

    category: Any
    instance: int
    key: Key
    num_categories: int


@dataclass(frozen=True, slots=True)
class Rendered:
    """A drawn image.

    Attributes:
        image: uint8 (H, W) or (H, W, 3), C-contiguous.
        mask: uint8 (H, W) of category indices, for segmentation sets; of numbers of instances from
            1 on, for sets of instances.
        labels: as of a ``Sample``: one, several, that of each instance, or none where there is a
            mask of categories. A kind leaves None for the category of the job.
        points: float32 (N, 3), of the model that the image shows, for sets with points.
        blank: whether it shows nothing but a background of several colors; images of one value
            are blank without saying so.
        parameters: the numbers behind the image, flat, the same names for all images of a kind.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8] | None = None
    labels: tuple[int, ...] | None = None
    points: NDArray[np.float32] | None = None
    blank: bool = False
    parameters: Mapping[str, int | float | str] = field(default_factory=dict)

    @property
    def label(self) -> int:
        """The label of an image that has one."""
        (label,) = self.labels or ()
        return label

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        from fdsl_gen.archive.png import encode_any  # which imports Pillow

        return encode_any(self.image)


@dataclass(frozen=True, kw_only=True)
class Variant(ABC):
    """A kind of dataset: a frozen keyword-only dataclass.

    Its fields are the recipe's ``variant:`` block and options of the command. They, ``REVISION``
    and the dataset seed are all that pixels depend on, besides (category, instance).

    A kind says its ``KIND`` and ``CITATION``, ``image``, ``nominal_bytes`` and how it draws
    (``render_one``, or ``render`` where images share work); the rest has defaults.

    Attributes:
        KIND: name in recipes.
        REVISION: raised when pixels change on purpose.
        CITATION: BibTeX of the paper that defined the dataset.
        SCENE: whether an image holds several categories and belongs to none.
        LABEL_TYPE: what the images are labeled with: one label, several, a mask, or instances.
        SEARCHED: whether categories are looked for (``SearchedIfs``) and worth storing.
    """

    KIND: ClassVar[str]
    CITATION: ClassVar[str]
    REVISION: ClassVar[int] = 1
    SCENE: ClassVar[bool] = False
    LABEL_TYPE: ClassVar[LabelType] = SINGLE
    SEARCHED: ClassVar[bool] = False

    @property
    def revision(self) -> int:
        """``REVISION``, or that of these settings where only some settings' pixels have changed."""
        return self.REVISION

    @property
    def uses_num_categories(self) -> bool:
        """Whether pixels or labels depend on the number of categories, as in scene sets."""
        return self.SCENE

    @property
    @abstractmethod
    def image(self) -> ImageSpec:
        """Shape and levels of every image."""

    @property
    def has_points(self) -> bool:
        """Whether images come with points (``Rendered.points``)."""
        return False

    @property
    def hides_blanks(self) -> bool:
        """Whether pixels do not tell which images are blank (``Rendered.blank``)."""
        return False

    @property
    def max_instances(self) -> int | None:
        """How many instances a category has; None if they never end."""
        return None

    @abstractmethod
    def nominal_bytes(self, num_categories: int) -> int:
        """Rough mean bytes of an encoded sample, for shard counts and the check of free space."""

    def category(self, index: int, key: Key) -> Any:
        """The parameters of category ``index``; equal for equal arguments, whatever else is asked.

        Args:
            index: label, from 0.
            key: ``category_key`` of this index; ``key.derive`` makes further ones.
        """
        return Category(index, key)

    def render(self, jobs: Iterable[Job]) -> Iterator[Rendered]:
        """Images of ``jobs``, in their order. Pixels do not depend on how jobs are batched."""
        for job in jobs:
            yield self.render_one(job)

    def render_one(self, job: Job) -> Rendered:
        """One image; for kinds whose images share no work."""
        raise NotImplementedError(f"{type(self).__name__} says neither render nor render_one")

    def work_group(self, instance: int) -> int:
        """Instances of a category in the same group share work and stand together in shards."""
        return instance

    def shared_parameters(self, seed: int) -> Mapping[str, Any]:
        """What all categories have in common, as JSON to be stored beside the dataset."""
        return {}

    def load_cached(self, seed: int, shared: Mapping[str, Any]) -> None:
        """Take what ``shared_parameters(seed)`` gave before, where it takes long to compute.

        Raises:
            ValueError, KeyError, TypeError: if it is not that; it is computed then.
        """
        return

    @property
    def inputs(self) -> Mapping[str, str]:
        """Files that these settings name: the setting, and the name of its copy in a dataset."""
        return {}

    def input_bytes(self, setting: str) -> bytes:
        """The content of the copy of a file in :attr:`inputs`.

        Raises:
            UsageError: if it is not named, cannot be read, or is not the one whose digest the
                settings say.
        """
        raise KeyError(setting)

    def check_files(self) -> None:
        """Read the files that the settings name, if they name any.

        Raises:
            UsageError: if one cannot be read, or is not the one whose digest the settings say.
        """
        return
