"""What a dataset will take, from some of it that is made here and thrown away.

Pieces spread over the whole set go the way of shards: categories, pixels, PNG, digest, tar, file.
Times are of the processor, with as many processes as a run would have, so that what else a busy
machine does is left out while cores that share their units are not.
"""

import json
import math
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from fdsl_gen.archive import tar
from fdsl_gen.build.generate import render_shard, warm_up
from fdsl_gen.core.cpus import default_workers
from fdsl_gen.core.errors import FdslError
from fdsl_gen.dataset.store import DatasetStore, lock_dataset
from fdsl_gen.executors import Silent
from fdsl_gen.executors.choice import executor_for
from fdsl_gen.recipe.category_blocks import BLOCK
from fdsl_gen.recipe.jobs import Categories
from fdsl_gen.recipe.order import Shard, samples_of, shards_of
from fdsl_gen.recipe.recipe import Recipe
from fdsl_gen.storage import local

_LEAST = 8  # images, however slow
_PROBE = 0.2  # seconds that tell how many images can be drawn in the time given
_PLACES = 16  # at least, from which the spread is known
_SPREAD = 0.06  # of the bytes, which a second look is to reach
_AT_MOST = 4  # times as many images as planned, with the second look
_HASHED_AT_ONCE = 4  # shards, when a finished set is checked
_ready: set[str] = set()  # what this process has loaded the kernels for


@dataclass(frozen=True, slots=True)
class Piece:
    """What one piece took: seconds of the processor, bytes on disk and in memory."""

    images: int
    categories: int
    search_seconds: float
    seconds: float
    check_seconds: float
    bytes: int
    memory: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a dataset takes, as far as pieces of it tell.

    Attributes:
        recipe: of the dataset.
        pieces: that were drawn.
        workers: processes that drew them.
        start: seconds until the first image, which every process needs.
    """

    recipe: Recipe
    pieces: tuple[Piece, ...]
    workers: int
    start: float

    @property
    def drawn(self) -> int:
        """Images that were drawn."""
        return sum(piece.images for piece in self.pieces)

    @property
    def image_bytes(self) -> float:
        """Bytes of an image on disk, with its headers."""
        return sum(piece.bytes for piece in self.pieces) / self.drawn

    @property
    def bytes(self) -> int:
        """Bytes of all shards."""
        shards = len(shards_of(self.recipe))
        return shards * tar.tar_bytes(round(self.image_bytes * self._images / shards))

    @property
    def image_seconds(self) -> float:
        """Core seconds of an image, without the search for its category."""
        return sum(piece.seconds for piece in self.pieces) / self.drawn

    @property
    def category_seconds(self) -> float:
        """Core seconds of the search for a category; 0 where categories are drawn directly."""
        searched = sum(piece.categories for piece in self.pieces)
        return sum(piece.search_seconds for piece in self.pieces) / searched if searched else 0.0

    @property
    def check_seconds(self) -> float:
        """Core seconds of the last step, which reads every shard once."""
        return sum(piece.check_seconds for piece in self.pieces) / self.drawn * self._images

    @property
    def core_seconds(self) -> float:
        """Core seconds of everything but the start of processes."""
        search = self.category_seconds * self._searched
        return search + self.image_seconds * self._images + self.check_seconds

    @property
    def memory(self) -> int:
        """The most memory of a process, bytes: it holds a shard before it is written."""
        largest = max(shard.num_samples for shard in shards_of(self.recipe))
        free = min(piece.memory - piece.bytes for piece in self.pieces)
        return int(free + largest * self.image_bytes)

    def search_wall(self, cores: int) -> float:
        """Seconds of the search on so many cores; a block of categories is not divided."""
        rounds = math.ceil(math.ceil(self._searched / BLOCK) / cores)
        return rounds * min(BLOCK, self._searched) * self.category_seconds

    def render_wall(self, cores: int) -> float:
        """Seconds of drawing on so many cores; a shard is not divided."""
        shards = shards_of(self.recipe)
        return math.ceil(len(shards) / cores) * self._images / len(shards) * self.image_seconds

    def check_wall(self, cores: int) -> float:
        """Seconds of the last step."""
        return self.check_seconds / min(cores, _HASHED_AT_ONCE)

    def wall(self, cores: int) -> float:
        """Seconds of the whole run on so many cores, without waiting for storage."""
        work = self.search_wall(cores) + self.render_wall(cores) + self.check_wall(cores)
        starts = 1 if cores == 1 else 2  # the command, and then its workers side by side
        return starts * self.start + work

    def spread(self, of: Callable[["Estimate"], float]) -> float:
        """Two standard errors of a figure, as a share of it, from the pieces' own figures.

        Args:
            of: gives the figure, such as ``lambda e: e.bytes``.
        """
        if self.drawn >= self._images:
            return 0.0
        values = [
            of(Estimate(self.recipe, (one,), self.workers, self.start)) for one in self.pieces
        ]
        if len(values) < 2:
            return math.inf
        error = statistics.stdev(values) / math.sqrt(len(values))
        return 2 * error / statistics.fmean(values)

    @property
    def _images(self) -> int:
        return self.recipe.num_samples

    @property
    def _searched(self) -> int:
        return self.recipe.num_categories if self.recipe.variant.SEARCHED else 0


def estimate(recipe: Recipe, *, seconds: float = 10.0, workers: int | None = None) -> Estimate:
    """Make some of a dataset in the temporary folder, and tell from it what all of it takes.

    Args:
        recipe: of the dataset.
        seconds: how long to draw, about, and up to four times as long where images differ so much
            that their size is uncertain; start and compilation come on top.
        workers: processes; None: the CPUs that this process may use.

    Raises:
        UsageError: if the recipe cannot be drawn, such as without the picture that it needs.
        FdslError: if a piece could not be drawn.
    """
    workers = workers or default_workers()
    with tempfile.TemporaryDirectory() as folder:
        dataset = lock_dataset(Path(folder) / "estimate", recipe)
        everything = dataset.recipe.num_train_samples
        warm_up(dataset, _spread_over(everything, 1, 1))
        start = time.process_time()
        each = _probe(dataset, everything)
        wanted = min(everything, max(_LEAST, int(seconds * workers / each)))
        places = min(max(_PLACES, 4 * workers), wanted)
        pieces = _draw_all(dataset, _spread_over(everything, places, wanted), workers)
        found = Estimate(dataset.recipe, pieces, workers, start)
        lacking = min((found.spread(lambda e: e.bytes) / _SPREAD) ** 2 - 1, _AT_MOST - 1)
        more = min(int(lacking * wanted), everything - wanted)
        if more < places:
            return found
        others = _spread_over(everything, places, more, done=wanted)
        pieces += _draw_all(dataset, others, workers)
        return replace(found, pieces=pieces)


def _probe(dataset: DatasetStore, everything: int) -> float:
    """Seconds of an image, roughly, from as few as will do."""
    count, spent = 1, 0.0
    while True:
        (probe,) = _draw_all(dataset, _spread_over(everything, 1, count), 1)
        spent = probe.seconds + probe.search_seconds
        if spent > _PROBE or count == everything:
            return max(spent / count, 1e-6)
        count = min(everything, 4 * count)


def _spread_over(everything: int, places: int, wanted: int, done: int = 0) -> list[Shard]:
    """``wanted`` images in so many runs of the order of the training split.

    Those of another call, ``done`` images in as many runs, stand before them.
    """
    pieces = []
    for k in range(places):
        size = (k + 1) * wanted // places - k * wanted // places
        begin = min(k * everything // places + -(-done // places), everything - size)
        pieces.append(Shard("train", k + (places if done else 0), begin, begin + size))
    return pieces


def _draw_all(dataset: DatasetStore, pieces: list[Shard], workers: int) -> tuple[Piece, ...]:
    executor = executor_for(workers, len(pieces))
    failures = executor.run(
        partial(_draw, dataset), pieces, Silent(), partial(warm_up, dataset, pieces)
    )
    if failures:
        raise FdslError(f"{len(failures)} pieces were not drawn: {failures[0].reason}")
    return tuple(Piece(**json.loads(_result(dataset, piece).read_text())) for piece in pieces)


def _result(dataset: DatasetStore, piece: Shard) -> Path:
    return dataset.work.path / f"{dataset.paths(piece).tar}.json"


def _draw(dataset: DatasetStore, piece: Shard, report: Callable[[int], None]) -> None:
    """Make a piece as a shard is made, note what it took, and remove it."""
    recipe = dataset.recipe
    samples = samples_of(recipe, piece)
    if recipe.identity not in _ready:
        render_shard(recipe, samples[:1], dataset.categories, report)
        _ready.add(recipe.identity)
    categories = Categories(recipe)
    distinct = {category for category, _ in samples} if recipe.variant.SEARCHED else set()
    searching = time.process_time()
    for category in distinct:
        categories[category]
    drawing = time.process_time()
    encoded, *_ = render_shard(recipe, samples, categories, report)
    dataset.write_tar(piece, tar.tar_parts(encoded))
    index = tar.index_of(encoded, recipe.sample_format.members)
    dataset.write(dataset.paths(piece).index, tar.index_bytes(index))
    checking = time.process_time()
    path = dataset.work.path / dataset.paths(piece).tar
    local.file_sha256(path)
    done = time.process_time()
    path.unlink()
    found = Piece(
        images=len(samples),
        categories=len(distinct),
        search_seconds=drawing - searching,
        seconds=checking - drawing,
        check_seconds=done - checking,
        bytes=sum(map(tar.sample_bytes, encoded)),
        memory=_most_memory(),
    )
    _result(dataset, piece).write_text(json.dumps(asdict(found)))


def _most_memory() -> int:
    """The most memory that this process had, bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
