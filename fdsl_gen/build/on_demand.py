"""A dataset that is not written: its samples, drawn when somebody asks for them.

Order, shards and keys are those of the dataset on disk, so whoever reads the one can read the
other. What takes long and is the same for every reader, the search for categories, is done once for
a machine and kept in the user's cache, in a folder named after the identity of the recipe.
"""

import contextlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.archive.paths import SHARED
from fdsl_gen.archive.sample import Sample
from fdsl_gen.build.category_search import find_categories, missing_blocks
from fdsl_gen.build.finalize import as_json
from fdsl_gen.core.cpus import default_workers
from fdsl_gen.core.errors import FdslError, UsageError
from fdsl_gen.core.locks import locked
from fdsl_gen.core.user_dirs import cache_folder
from fdsl_gen.dataset.inputs import contents_of, pinned
from fdsl_gen.executors import Observer, Silent
from fdsl_gen.executors.choice import executor_for
from fdsl_gen.recipe.jobs import Categories, jobs_of, sample_of
from fdsl_gen.recipe.order import SampleId, samples_of, shards_of, sharing_order
from fdsl_gen.recipe.recipe import Recipe
from fdsl_gen.storage import local

_SHARDS = 64  # whose samples are remembered; an order of training touches 16 at a time


def prepare(
    recipe: Recipe, *, workers: int | None = None, observer: Observer | None = None
) -> Path | None:
    """Search the categories of a recipe, unless this machine knows them, and compile its kernels.

    Of several processes that ask at the same time one searches and the others wait for it; if it is
    killed, the next one goes on with what is left.

    Args:
        recipe: whose samples will be drawn.
        workers: processes of the search; None: the CPUs that this process may use.
        observer: told of every category.

    Returns:
        The folder of the categories; None where nothing can be kept.

    Raises:
        UsageError: if categories have to be searched for and cannot be kept.
        FdslError: if some could not be found.
    """
    base = cache_folder("categories")
    if base is None:
        if recipe.variant.SEARCHED:
            raise UsageError(
                f"the categories of {recipe.name} are searched for and kept, and there is no folder"
                " for them; let XDG_CACHE_HOME name one that is yours alone"
            )
        _warm_up(recipe, None)
        return None
    cache = base / recipe.identity
    cache.mkdir(mode=0o700, exist_ok=True)
    lock = base / f"{recipe.identity}.lock"
    with locked(lock, progress=lambda: sum(1 for _ in cache.iterdir())):
        if recipe.variant.SEARCHED:
            _search(recipe, cache, workers, observer or Silent())
        _warm_up(recipe, cache)
        shared = cache / Path(SHARED).name
        if not shared.exists():
            with contextlib.suppress(OSError):  # it saves a second
                local.write(shared, as_json(recipe.variant.shared_parameters(recipe.seed)))
    return cache


def _search(recipe: Recipe, cache: Path, workers: int | None, watch: Observer) -> None:
    blocks = missing_blocks(recipe, cache)
    executor = executor_for(workers or default_workers(), len(blocks))
    failures = find_categories(recipe, cache, executor, watch)
    if failures:
        raise FdslError(
            f"{len(failures)} blocks of categories were not found: {failures[0].reason}"
        )


def _warm_up(recipe: Recipe, cache: Path | None) -> None:
    """Draw an image, which compiles and loads the kernels before there are further processes."""
    split = RecipeSplit(recipe, cache=cache)
    list(split.render([split.sample(0, 0)]))


class RecipeSplit:
    """A split of a recipe. A pickled copy is small.

    Args:
        recipe: of the dataset.
        split: which part.
        cache: folder of the categories, from :func:`prepare`; None: they are searched for here.

    Raises:
        UsageError: if there is no such split, or a file that the recipe needs.

    Attributes:
        recipe: with the digests of the files that it names.
        shard_sizes: samples in each shard, as on disk.
        cache: as given; may be given later.

    Examples:
        >>> recipe = load_recipe("fractal-1", num_categories=10, image_size=128)
        >>> split = RecipeSplit(recipe, cache=prepare(recipe))
        >>> [sample.image.shape for _, sample in split.render([split.sample(0, 0)])]
        [(128, 128)]
    """

    def __init__(self, recipe: Recipe, split: str = "train", *, cache: Path | None = None) -> None:
        self.recipe = pinned(recipe)
        contents_of(self.recipe)  # which says so if a file is not there
        self.cache = cache
        self._shards = [shard for shard in shards_of(recipe) if shard.split == split]
        if not self._shards:
            raise UsageError(
                f"{recipe.name} has no {split} split; give it validation_instances to have one"
            )
        self.shard_sizes = tuple(shard.num_samples for shard in self._shards)
        self._ids: OrderedDict[int, NDArray[np.int64]] = OrderedDict()
        self._categories: Categories | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_ids": OrderedDict(), "_categories": None}

    def ids(self, shard: int) -> NDArray[np.int64]:
        """Category (-1 in scene sets) and instance of the samples of a shard, int64 (n, 2)."""
        found = self._ids.get(shard)
        if found is None:
            found = np.array(samples_of(self.recipe, self._shards[shard]), np.int64)
            self._ids[shard] = found
            if len(self._ids) > _SHARDS:
                self._ids.popitem(last=False)
        self._ids.move_to_end(shard)
        return found

    def sample(self, shard: int, row: int, epoch: int = 0) -> SampleId:
        """The identity of sample ``row`` of a shard.

        Args:
            shard: in which it stands.
            row: where it stands there.
            epoch: above 0, an instance (or image) that the dataset on disk does not hold: the one
                ``epoch`` times their number after it.
        """
        category, instance = self.ids(shard)[row].tolist()
        return SampleId(category, instance + epoch * self.recipe.run_length)

    def render(self, samples: Sequence[SampleId]) -> Iterator[tuple[int, Sample]]:
        """Draw samples; those that share work are drawn together, equal ones once.

        Args:
            samples: any of the recipe's.

        Yields:
            The place of a sample in ``samples``, and the sample, in the order in which they are
            drawn, so that few images are held at a time.

        Raises:
            RenderError: if the settings cannot give one of the images.
        """
        if self._categories is None:
            self._categories = Categories(self.recipe, self.cache)
        places: dict[SampleId, list[int]] = {}
        for place, sample in enumerate(samples):
            places.setdefault(sample, []).append(place)
        distinct = list(places)
        ordered = [distinct[k] for k in sharing_order(self.recipe.variant, distinct)]
        drawn = self.recipe.variant.render(jobs_of(self.recipe, ordered, self._categories))
        for identity, rendered in zip(ordered, drawn, strict=True):
            found = sample_of(self.recipe, identity, rendered)
            for place in places[identity]:
                yield place, found
