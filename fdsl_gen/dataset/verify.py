"""Is a dataset on disk what its manifest and its recipe say?"""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.archive import tar
from fdsl_gen.archive.manifest import Manifest, ShardEntry, SplitEntry
from fdsl_gen.archive.paths import CATEGORIES, LOCK, MANIFEST, SOURCE_IMAGE, ShardPaths
from fdsl_gen.core.errors import Mismatch, UsageError
from fdsl_gen.core.keys import Key, permutation
from fdsl_gen.dataset.facts import facts_of
from fdsl_gen.dataset.inputs import attach_inputs
from fdsl_gen.dataset.lock import is_lock
from fdsl_gen.dataset.reader import Dataset, load_index, open_dataset
from fdsl_gen.dataset.store import DatasetStore
from fdsl_gen.recipe.jobs import jobs_of, sample_of
from fdsl_gen.recipe.order import SampleId, shards_of
from fdsl_gen.recipe.recipe import Recipe, recipe_from_dict
from fdsl_gen.storage import local
from fdsl_gen.storage.base import Store
from fdsl_gen.storage.errors import ObjectMissing
from fdsl_gen.storage.local import LocalStore
from fdsl_gen.storage.manifest import read_manifest
from fdsl_gen.storage.open import store_at
from fdsl_gen.storage.threads import map_threads

JOBS = 4  # shards fetched at a time


def check_files(
    place: Path | Store, seen: Callable[[ShardEntry], None], *, jobs: int = JOBS
) -> list[str]:
    """Hash and count every shard; what is wrong, a sentence each.

    Args:
        place: dataset folder, or where it is stored; of a bucket each shard is fetched, checked
            and removed.
        seen: called after each shard.
        jobs: shards at a time.
    """
    manifest = read_manifest(place)
    store = store_at(place)
    entries = [entry for split in manifest.splits.values() for entry in split.shards]
    found: dict[str, list[str]] = {}

    def check(entry: ShardEntry) -> list[str]:
        return _check_stored(store, manifest, entry)

    for entry, wrong in map_threads(check, entries, jobs):
        found[entry.file] = wrong
        seen(entry)
    problems = [problem for entry in entries for problem in found[entry.file]]
    recipe = recipe_from_dict(manifest.recipe, "manifest.json")
    problems += _check_facts(store, manifest, recipe)
    expected = {f"{shard.stem(recipe.name)}.tar" for shard in shards_of(recipe)}
    problems += [f"{name} is not in the manifest" for name in sorted(expected - found.keys())]
    return problems


def _check_facts(store: Store, manifest: Manifest, recipe: Recipe) -> Iterator[str]:
    """Compare what a manifest says of a dataset with what follows from its recipe."""
    try:
        lock: bytes | None = store.read(LOCK)
    except ObjectMissing:
        lock = None
    if lock is not None and not is_lock(lock, manifest):
        yield (
            f"{LOCK} and {MANIFEST} tell of different recipes, so one of them is damaged"
            " (fdsl-gen finalize --repair restores the first from the second)"
        )
    facts = facts_of(recipe)
    if lock is None:  # with a witness, other digests mean another version of the kind of dataset
        facts |= {"identity": recipe.identity, "recipe_digest": recipe.recipe_digest}
    for name, value in facts.items():
        if getattr(manifest, name) != value:
            yield f"{MANIFEST} is damaged: its {name} is not that of its recipe"


def _check_stored(store: Store, manifest: Manifest, entry: ShardEntry) -> list[str]:
    """What is wrong with a shard, a sentence each."""
    there = store.stat(entry.file)
    if there is None:
        return [f"{entry.file} is missing"]
    if there.size != entry.bytes:
        return [f"{entry.file} has {there.size:,} bytes instead of {entry.bytes:,}"]
    try:
        with _fetched(store, entry) as folder:
            return list(_check_shard(folder, manifest, entry))
    except Mismatch as error:
        return [str(error)]


@contextlib.contextmanager
def _fetched(store: Store, entry: ShardEntry, *others: str) -> Iterator[Path]:
    """A folder of this machine with a shard, its index if it has one, and other small files."""
    if isinstance(store, LocalStore):
        yield store.folder
        return
    index = ShardPaths.of(entry.file).index
    with tempfile.TemporaryDirectory(prefix="fdsl-verify-") as temporary:
        folder = Path(temporary)
        for name in (index, *others):
            with contextlib.suppress(ObjectMissing):  # readers make an index anew
                local.write(folder / name, store.read(name))
        with store.local_copy(entry.file, folder) as path:
            os.link(path, folder / entry.file)
            yield folder


def _check_shard(path: Path, manifest: Manifest, entry: ShardEntry) -> Iterator[str]:
    tar_path = path / entry.file
    try:
        index = load_index(LocalStore(path), entry, manifest.members)
    except Mismatch as error:
        yield str(error)
        return
    if local.file_sha256(tar_path) != entry.sha256:
        yield f"{entry.file} is damaged: its sha256 is not the one in the manifest"
        return
    try:
        scanned = tar.scan_index(tar_path, manifest.members)
    except ValueError as error:
        yield str(error)
        return
    if len(scanned) != entry.samples:
        yield f"{entry.file} holds {len(scanned)} samples instead of {entry.samples}"
    elif not np.array_equal(scanned, index):
        yield f"the index of {entry.file} is damaged; delete it, and it is made anew when needed"


def check_pixels(place: Path | Store, count: int, seen: Callable[[int], None]) -> list[str]:
    """Render ``count`` samples again and compare them with what is stored.

    Args:
        place: dataset folder, or where it is stored; up to ``count`` shards are then fetched, one
            after the other.
        count: how many, picked evenly and always the same; all if there are fewer.
        seen: called with the number of samples done since the last call.
    """
    store = store_at(place)
    if isinstance(store, LocalStore):
        return _check_pixels(open_dataset(store.folder), store.folder, count, seen)
    manifest = read_manifest(store)
    entries = [(split, e) for split, found in manifest.splits.items() for e in found.shards]
    categories = store.list(CATEGORIES)
    order = permutation(Key(manifest.recipe.get("seed", 0), "verify shards"), len(entries))
    problems = []
    for number, (split, entry) in enumerate(entries[k] for k in order[:count]):
        share = -(-(count - number) // min(count, len(entries)))  # of so many shards, rounded up
        only = SplitEntry(num_samples=entry.samples, shards=(entry,))
        with _fetched(store, entry, SOURCE_IMAGE, *categories) as folder:
            alone = replace(manifest, splits={split: only})
            problems += _check_pixels(Dataset(LocalStore(folder), alone), folder, share, seen)
    return problems


def _check_pixels(
    dataset: Dataset, path: Path, count: int, seen: Callable[[int], None]
) -> list[str]:
    recipe = attach_inputs(recipe_from_dict(dataset.manifest.recipe, "manifest.json"), path)
    if recipe.identity != dataset.manifest.identity:
        raise UsageError(
            f"the dataset was made by another revision of {recipe.variant.KIND} than this version"
            " draws; it cannot be rendered again for comparison"
        )
    keys = sorted(dataset)
    picked = permutation(Key(recipe.seed, "verify"), len(keys))[:count]
    samples = sorted(SampleId.from_key(keys[k]) for k in picked)
    cache = path / CATEGORIES
    problems = []
    for sample, drawn in zip(
        samples, recipe.variant.render(jobs_of(recipe, samples, cache)), strict=True
    ):
        seen(1)
        try:
            stored = dataset[sample.key]
        except Mismatch as error:
            problems.append(str(error))
            continue
        expected = sample_of(recipe, sample, drawn)
        if stored.labels != expected.labels:
            problems.append(f"sample {sample.key} has the wrong labels {list(stored.labels)}")
        elif not _same(stored.mask, expected.mask):
            problems.append(f"the mask of sample {sample.key} differs")
        elif not _same(stored.points, expected.points):
            problems.append(f"the points of sample {sample.key} differ")
        elif not np.array_equal(stored.image, drawn.image):
            differing = np.count_nonzero(stored.image != drawn.image)
            problems.append(f"sample {sample.key} differs in {differing:,} pixels")
    return problems


def _same(one: NDArray[Any] | None, other: NDArray[Any] | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other)


def status(dataset: DatasetStore) -> tuple[int, int, list[str]]:
    """How many shards are finished, how many there will be, and which are missing."""
    missing = [dataset.paths(shard).tar for shard in dataset.missing()]
    total = len(shards_of(dataset.recipe))
    return total - len(missing), total, missing
