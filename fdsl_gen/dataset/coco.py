"""A dataset of instances as files in COCO's format."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from fdsl_gen.archive.label_types import INSTANCES
from fdsl_gen.archive.label_types.instances import annotations
from fdsl_gen.archive.manifest import Manifest, SplitEntry
from fdsl_gen.core.errors import UsageError
from fdsl_gen.dataset.export import claim, samples_of, target_of, write_once
from fdsl_gen.dataset.shard_check import check_shard_file
from fdsl_gen.storage.manifest import read_manifest


def export_coco(path: Path, out: Path, seen: Callable[[int], None]) -> int:
    """Write ``OUT/images/{key}.png`` and ``OUT/annotations.json``, which pycocotools loads.

    The annotations of the validation split, if there is one, are ``annotations_validation.json``.
    Image ids are the numbers of the images, annotation ids count from 1, category c has the id
    c + 1. Images that are there already are kept, so that an interrupted export can be run again.

    Args:
        path: finished dataset folder.
        out: new or begun by an earlier export of the same dataset.
        seen: called with the number of images done since the last call.

    Returns:
        Number of images.

    Raises:
        UsageError: if the dataset has no instances, ``out`` holds something else, or ``path`` is no
            finished dataset.
        Mismatch: if a shard is damaged; nothing of it is written.
    """
    manifest = read_manifest(path)
    if manifest.label_type != INSTANCES:
        raise UsageError(
            f"{path} is a {manifest.task} dataset; --coco writes sets of instances, give"
            " --imagefolder instead"
        )
    claim(out, f"{manifest.recipe_digest} coco")
    count = 0
    for split, entry in manifest.splits.items():
        name = "annotations.json" if split == "train" else f"annotations_{split}.json"
        partial = (out / name).with_suffix(".part")
        with partial.open("w", encoding="utf-8") as file:
            count += _write_split(file, path, out, manifest, entry, seen)
        partial.rename(out / name)
    return count


def _write_split(
    file: TextIO,
    path: Path,
    out: Path,
    manifest: Manifest,
    entry: SplitEntry,
    seen: Callable[[int], None],
) -> int:
    """Write the annotations of a split one after another, for they may not fit into memory."""
    images = []
    number = 0
    file.write('{"annotations": [')
    for key, found in _annotated(path, out, manifest, entry):
        for one in found:
            file.write(",\n" if number else "\n")
            number += 1
            json.dump({"id": number, "image_id": int(key)} | one, file)
        size = {"height": manifest.image.height, "width": manifest.image.width}
        images.append({"id": int(key), "file_name": f"{key}.png"} | size)
        seen(1)
    named = [{"id": c + 1, "name": f"{c:05d}"} for c in range(manifest.num_classes)]
    rest = {"images": images, "categories": named, "info": {"description": "fdsl"}, "licenses": []}
    file.write(f"\n],\n{json.dumps(rest)[1:]}\n")
    return len(images)


def _annotated(
    path: Path, out: Path, manifest: Manifest, entry: SplitEntry
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Keys and annotations of the images of a split, which are written on the way."""
    for shard in entry.shards:
        check_shard_file(path / shard.file, shard)
        for key, members in samples_of(path, manifest, shard):
            target = target_of(manifest, shard, key, members)
            write_once(out / "images" / f"{key}.png", members["png"])
            yield key, annotations(target)
