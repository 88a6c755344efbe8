"""The last step of a dataset: card, preview, loader files and, at the very end, the manifest."""

import json
from collections.abc import Iterator

from fdsl_gen.archive.manifest import FORMAT, Manifest, ShardEntry, SplitEntry, parse_manifest
from fdsl_gen.archive.paths import CARD, INFO, MANIFEST, PREVIEW, SHARED
from fdsl_gen.archive.sample import digest_text
from fdsl_gen.core.errors import Mismatch, ShardsFailed, UsageError
from fdsl_gen.dataset import card
from fdsl_gen.dataset.contact_sheet import Preview, draw_preview, preview_png
from fdsl_gen.dataset.facts import facts_of
from fdsl_gen.dataset.store import DatasetStore
from fdsl_gen.executors import Observer, Silent
from fdsl_gen.storage.threads import map_threads

_JOBS = 4  # shards that are read at a time


def build_manifest(dataset: DatasetStore) -> Manifest:
    """The manifest of a dataset in which every shard has its marker.

    Raises:
        ShardsFailed: if shards are missing.
    """
    recipe = dataset.recipe
    entries: dict[str, list[ShardEntry]] = {}
    missing = []
    for shard, entry in dataset.entries().items():
        if entry is None:
            missing.append(dataset.paths(shard).tar)
        else:
            entries.setdefault(shard.split, []).append(entry)
    if missing:
        raise ShardsFailed(
            f"{len(missing)} shards of {dataset.url} are missing, the first is {missing[0]};"
            " run its fdsl-gen command again"
        )
    total = sum(int(e.content_digest, 16) for split in entries.values() for e in split)
    return Manifest(
        format=FORMAT,
        recipe=recipe.to_dict(),
        identity=recipe.identity,
        recipe_digest=recipe.recipe_digest,
        content_digest=digest_text(total),
        members=recipe.sample_format.members,
        splits={
            name: SplitEntry(num_samples=sum(e.samples for e in split), shards=tuple(split))
            for name, split in entries.items()
        },
        **facts_of(recipe),
    )


def finalize(
    dataset: DatasetStore, watch: Observer | None = None, *, overwrite: bool = False
) -> Manifest:
    """Complete a dataset whose shards are all there. Doing it again changes nothing.

    Args:
        dataset: to complete.
        watch: told what is odd about the images.
        overwrite: replace the manifest of a finished dataset that says something else.

    Raises:
        ShardsFailed: if shards are missing.
        Mismatch: if a shard is not what its marker says; no manifest was written.
        UsageError: if there is a manifest that says something else.
    """
    dataset.prepare()
    dataset.fetch()
    manifest = build_manifest(dataset)
    if not _is_written(dataset, manifest, overwrite):
        _check_shards(dataset, manifest)
    shared = dataset.recipe.variant.shared_parameters(dataset.recipe.seed)
    preview = draw_preview(dataset.recipe, cache=dataset.categories)
    files = {
        SHARED: as_json(shared),
        INFO: as_json(card.timm_info(manifest)),
        CARD: card.card(dataset.recipe, manifest).encode(),
        PREVIEW: preview_png(dataset.recipe, preview),
        MANIFEST: manifest.to_json(),
    }
    for name, data in files.items():
        dataset.write_if_changed(name, data)
    dataset.sweep()
    for remark in _remarks(manifest, preview):
        (watch or Silent()).note(remark)
    return manifest


def _is_written(dataset: DatasetStore, manifest: Manifest, overwrite: bool) -> bool:
    """Whether this manifest stands there already; a damaged one counts as none.

    Raises:
        UsageError: if there is another one, which is to stay.
    """
    there = dataset.manifest_bytes()
    if there is None or there == manifest.to_json():
        return there is not None
    try:
        parse_manifest(there, f"{dataset.url}/{MANIFEST}")
    except UsageError:
        return False
    if overwrite:
        return False
    raise UsageError(
        f"{dataset.url} is finished, and its {MANIFEST} says something else than its shards and"
        f" markers; see fdsl-gen verify {dataset.url}, or replace the manifest with fdsl-gen"
        f" finalize --overwrite {dataset.url}"
    )


def _check_shards(dataset: DatasetStore, manifest: Manifest) -> None:
    """A marker is a claim: compare every shard with it before a manifest repeats it.

    Raises:
        Mismatch: if one is something else.
    """
    entries = [entry for split in manifest.splits.values() for entry in split.shards]
    for entry, sound in map_threads(dataset.is_intact, entries, _JOBS):
        if not sound:
            raise Mismatch(
                f"{entry.file} in {dataset.url} is not what its marker says (its size or sha256"
                " differ); delete it and run its fdsl-gen command again"
            )


def _remarks(manifest: Manifest, preview: Preview) -> Iterator[str]:
    """What is odd about the images of a dataset, a sentence each."""
    total = sum(split.num_samples for split in manifest.splits.values())
    blank = sum(shard.blank for split in manifest.splits.values() for shard in split.shards)
    if blank:
        yield f"warning: {blank:,} of {total:,} images are blank: they show nothing but background"
    categories = {sample.category for sample, _ in preview.drawn}
    seen: dict[int, set[bytes]] = {}
    for sample, drawn in preview.drawn:
        scene = sample.category < 0
        seen.setdefault(-1 if scene else sample.instance, set()).add(drawn.image.tobytes())
    count = len(preview.drawn) if categories == {-1} else len(categories)
    if count > 1 and all(len(images) == 1 for images in seen.values()):
        what = "images" if categories == {-1} else "categories"
        yield f"warning: all {count:,} {what} of the preview are one image: nothing to learn"


def as_json(data: object) -> bytes:
    """The content of a JSON file."""
    return (json.dumps(data, indent=1, allow_nan=False) + "\n").encode()
