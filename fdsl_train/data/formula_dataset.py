"""A recipe as a dataset of PyTorch, for training loops that are not ours."""

from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from fdsl_gen import Recipe, RecipeSplit, Sample, load_recipe, parse_recipe, prepare
from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.progress import Progress
from fdsl_gen.core.recipe_files import is_recipe


class FormulaDataset(Dataset[tuple[Any, Any]]):
    """Images of a recipe and their labels, drawn when they are asked for; nothing is stored.

    Sample i is sample i of the dataset on disk, in the order of its shards. A ``DataLoader`` asks
    for the samples of a batch together, and those that share work are drawn together. Copies in
    loader processes, forked or started anew, draw the same images; a pickled copy has some kB.

    An item is (image, label). The image is what ``transform`` makes of it; without one a uint8
    tensor (C, H, W), C = 1 for gray sets. The label is an int; of sets of several labels per image
    a float32 tensor (num_classes,) of zeros and ones; of segmentation sets an int64 tensor (H, W);
    of sets of instances the number of the instance at every pixel, int64 (H, W), 0 for none, and
    the labels of the instances from 1 on, int64 (n,). No ``transform`` changes masks.

    Args:
        recipe: a name, ``recipe:NAME?setting=value``, the path of a YAML file, or a recipe.
        transform: gets a Pillow image of mode ``RGB``, as torchvision's and timm's do. It may be
            set later.
        split: which part, ``train`` or ``validation``.
        settings: of the recipe, by name, over its own.

    Raises:
        UsageError: if there is no such recipe or split.
        FdslError: if a category could not be found.

    Attributes:
        recipe: what is drawn.
        num_classes: labels are below it.

    Examples:
        >>> dataset = FormulaDataset("fractal-1", num_categories=10, image_size=64)
        >>> len(dataset)
        10
        >>> image, label = dataset[3]
        >>> image.shape
        torch.Size([1, 64, 64])
    """

    def __init__(
        self,
        recipe: str | Path | Recipe,
        transform: Callable[[Image.Image], Any] | None = None,
        *,
        split: str = "train",
        **settings: Any,
    ) -> None:
        loaded = _load(recipe, settings)
        self._split = RecipeSplit(loaded, split)
        with Progress("category") as watch:
            self._split.cache = prepare(loaded, observer=watch)
        self._ends = list(accumulate(self._split.shard_sizes))
        self.recipe = self._split.recipe
        self.num_classes = loaded.num_classes
        self.transform = transform

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        (item,) = self.__getitems__([index])
        return item

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Any, Any]]:
        """The items of a batch, drawn together.

        Raises:
            IndexError: if there is no such sample.
        """
        wanted = [self._split.sample(*self._place(index)) for index in indices]
        items: dict[int, tuple[Any, Any]] = {}
        for number, sample in self._split.render(wanted):
            items[number] = (self._image(sample), self._label(sample))
        return [items[number] for number in range(len(wanted))]

    def _place(self, index: int) -> tuple[int, int]:
        """Shard and row of a sample."""
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise IndexError(f"sample {index} of {len(self):,}")
        shard = int(np.searchsorted(self._ends, number, side="right"))
        return shard, number - (self._ends[shard] - self._split.shard_sizes[shard])

    def _image(self, sample: Sample) -> Any:
        if self.transform is not None:
            return self.transform(Image.fromarray(sample.image).convert("RGB"))
        pixels = torch.from_numpy(sample.image.copy())  # the same sample may be asked for twice
        return pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1)

    def _label(self, sample: Sample) -> Any:
        if self.recipe.variant.LABEL_TYPE.one_label:
            return sample.label
        if sample.mask is not None:
            mask = torch.from_numpy(sample.mask.astype(np.int64))
            return (mask, torch.tensor(sample.labels)) if sample.labels else mask
        found = torch.zeros(self.num_classes)
        found[list(sample.labels)] = 1.0
        return found


def _load(recipe: str | Path | Recipe, settings: dict[str, Any]) -> Recipe:
    if not isinstance(recipe, Recipe) and not is_recipe(recipe):
        return load_recipe(recipe, **settings)
    if settings:
        raise UsageError(
            f"{', '.join(settings)}: settings go with the name of a recipe; write them into the"
            " text of recipe:NAME?setting=value, or give them to load_recipe"
        )
    return recipe if isinstance(recipe, Recipe) else parse_recipe(str(recipe))
