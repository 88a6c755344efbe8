"""A recipe as training data: ``recipe:NAME?setting=value``, drawn by whoever builds a batch.

The order, the shards and the numbers of samples are those of the dataset on disk, and so are the
pixels: a run from the recipe equals the run from the shards to the last bit.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from fdsl_gen import RecipeSplit, parse_recipe, prepare
from fdsl_gen.archive import sample as archive
from fdsl_gen.archive.manifest import ImageEntry
from fdsl_gen.core import settings
from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.progress import Progress
from fdsl_train.data.masks import classes_of_ours
from fdsl_train.data.sampler import Position
from fdsl_train.data.sources.base import Sample, group_views
from fdsl_train.data.sources.decoded import Decoded
from fdsl_train.data.sources.shards import check_trainable


class FormulaSource:
    """A split of a recipe; see ``Source`` for the attributes.

    Args:
        name: how messages call it.
        split: what to draw.
        part: name of that split.
    """

    class_names: tuple[str, ...] | None = None

    def __init__(self, name: str, split: RecipeSplit, part: str) -> None:
        recipe, spec = split.recipe, split.recipe.variant.image
        self.name = name
        self.num_classes = recipe.num_classes
        self.shard_sizes = split.shard_sizes
        self._starts = list(accumulate(self.shard_sizes, initial=0))
        self.label_type = recipe.variant.LABEL_TYPE
        self.digest = settings.digest({"recipe": recipe.recipe_digest, "split": part})
        self.origin = {"recipe": recipe.to_dict(), "identity": recipe.identity}
        self.image = ImageEntry(
            height=spec.height, width=spec.width, channels=spec.channels, levels=spec.levels
        )
        self.content_digests: tuple[str, ...] | None = None  # the formulas say what must be there
        self._split = split
        self._fresh = False
        self._is_ready = False
        self._decoded: Decoded | None = None
        self.views: NDArray[np.int64] | None = None
        if recipe.views_per_sample > 1 and part == "train":
            ids = (split.ids(shard) for shard in range(len(self.shard_sizes)))
            self.views = group_views(name, ids, recipe.views_per_sample)

    def show_fresh(self) -> None:
        """From now on, epoch e shows instance i + e * num_instances where epoch 0 shows i.

        Raises:
            UsageError: if the instances of a category end.
        """
        recipe = self._split.recipe
        if recipe.variant.max_instances is not None:
            raise UsageError(
                f"--fresh-instances: a category of {self.name} has {recipe.variant.max_instances}"
                " images with these settings, so there are no others to show; leave it out"
            )
        self._fresh = True

    @property
    def is_fixed(self) -> bool:
        """Whether every epoch shows the same images."""
        return not self._fresh

    def prepare(self) -> None:
        """Search the categories, unless this machine knows them, and compile the kernels."""
        if self._is_ready or self._decoded is not None:
            return
        with Progress("category") as watch:
            self._split.cache = prepare(self._split.recipe, observer=watch)
        self._is_ready = True

    def read_sample(self, shard: int, row: int) -> Sample:
        """See ``Source``."""
        ((_, sample),) = self.read_together([Position(0, shard, row, self._starts[shard] + row)])
        return sample

    def read_together(self, positions: Sequence[Position]) -> Iterator[tuple[int, Sample]]:
        """See ``ReadsTogether``: drawn here, unless there is a decoded copy."""
        if self._decoded is not None:
            for place, at in enumerate(positions):
                yield place, self._decoded.read_sample(self._starts[at.shard] + at.row)
            return
        self.prepare()
        wanted = [
            self._split.sample(at.shard, at.row, at.epoch if self._fresh else 0) for at in positions
        ]
        for place, drawn in self._split.render(wanted):
            yield place, self._sample(drawn)

    def _sample(self, drawn: archive.Sample) -> Sample:
        if drawn.mask is not None:
            return Sample(drawn.image, classes_of_ours(drawn.mask))
        return Sample(drawn.image, drawn.label if self.label_type.one_label else drawn.labels)

    def key(self, shard: int, row: int) -> str:
        """The name of sample ``row`` of shard ``shard``."""
        return self._split.sample(shard, row).key

    def prefetch(self, shards: Sequence[int]) -> None:
        """Nothing to do."""

    def use(self, decoded: Decoded) -> None:
        """Take samples from a decoded copy from now on."""
        self._decoded = decoded


class FormulaData:
    """What ``recipe:...`` says.

    Args:
        text: see ``fdsl_gen.parse_recipe``.

    Raises:
        UsageError: if there is no such recipe, or its images have nothing to be trained on.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._recipe = parse_recipe(text)
        check_trainable(self._recipe.variant.LABEL_TYPE.name, text)

    @property
    def train_recipe(self) -> str | None:
        """The training recipe that the recipe names."""
        return self._recipe.train_recipe

    @property
    def has_validation(self) -> bool:
        """Whether it has a split to validate on."""
        return self._recipe.validation_instances > 0

    def split(self, part: str) -> FormulaSource:
        """A split of the recipe.

        Raises:
            UsageError: if there is none of that name.
        """
        return FormulaSource(self._text, RecipeSplit(self._recipe, part), part)
