"""Is a dataset on disk what its manifest and its recipe say?"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fdsl_gen import store
from fdsl_gen.archive import tar
from fdsl_gen.archive.manifest import META, Manifest, ShardEntry, read_manifest
from fdsl_gen.core.errors import Mismatch, UsageError
from fdsl_gen.core.keys import Key, permutation
from fdsl_gen.dataset import source_image
from fdsl_gen.dataset.folder import Folder
from fdsl_gen.dataset.reader import load_index, open_dataset
from fdsl_gen.recipe.jobs import jobs_of, labels_of
from fdsl_gen.recipe.order import SampleId, shards_of
from fdsl_gen.recipe.recipe import recipe_from_dict


def check_files(path: Path, seen: Callable[[ShardEntry], None]) -> list[str]:
    """Hash and count every shard; what is wrong, a sentence each.

    Args:
        path: dataset folder.
        seen: called after each shard.
    """
    manifest = read_manifest(path)
    problems: list[str] = []
    for split in manifest.splits.values():
        for entry in split.shards:
            problems += _check_shard(path, manifest, entry)
            seen(entry)
    names = {entry.file for split in manifest.splits.values() for entry in split.shards}
    recipe = recipe_from_dict(manifest.recipe, "manifest.json")
    expected = {f"{shard.stem(recipe.name)}.tar" for shard in shards_of(recipe)}
    problems += [f"{name} is not in the manifest" for name in sorted(expected - names)]
    return problems


def _check_shard(path: Path, manifest: Manifest, entry: ShardEntry) -> Iterator[str]:
    tar_path = path / entry.file
    try:
        index = load_index(path, entry, manifest.members)
    except Mismatch as error:
        yield str(error)
        return
    if store.file_sha256(tar_path) != entry.sha256:
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


def check_pixels(path: Path, count: int, seen: Callable[[int], None]) -> list[str]:
    """Render ``count`` samples again and compare them with what is stored.

    Args:
        path: dataset folder.
        count: how many, picked evenly and always the same; all if there are fewer.
        seen: called with the number of samples done since the last call.
    """
    dataset = open_dataset(path)
    recipe = source_image.adopt(recipe_from_dict(dataset.manifest.recipe, "manifest.json"), path)
    if recipe.identity != dataset.manifest.identity:
        raise UsageError(
            f"{path} was made by another revision of {recipe.variant.KIND} than this version draws;"
            " it cannot be rendered again for comparison"
        )
    keys = sorted(dataset)
    picked = permutation(Key(recipe.seed, "verify"), len(keys))[:count]
    samples = sorted(SampleId.from_key(keys[k]) for k in picked)
    cache = path / META / "categories"
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
        if stored.labels != labels_of(recipe, sample, drawn):
            problems.append(f"sample {sample.key} has the wrong labels {list(stored.labels)}")
        elif not _same(stored.mask, drawn.mask):
            problems.append(f"the mask of sample {sample.key} differs")
        elif not np.array_equal(stored.image, drawn.image):
            differing = np.count_nonzero(stored.image != drawn.image)
            problems.append(f"sample {sample.key} differs in {differing:,} pixels")
    return problems


def _same(one: NDArray[np.uint8] | None, other: NDArray[np.uint8] | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other)


def status(folder: Folder) -> tuple[int, int, list[str]]:
    """How many shards are finished, how many there will be, and which are missing."""
    missing = [folder.tar(shard).name for shard in folder.missing()]
    total = len(shards_of(folder.recipe))
    return total - len(missing), total, missing
