"""The last step of a dataset: card, preview, loader files and, at the very end, the manifest."""

import json
from collections.abc import Iterator

from fdsl_gen.archive import content_digest
from fdsl_gen.archive.manifest import FORMAT, MANIFEST, ImageEntry, Manifest, ShardEntry, SplitEntry
from fdsl_gen.build.sample import members_of
from fdsl_gen.core.errors import ShardsFailed
from fdsl_gen.dataset import card
from fdsl_gen.dataset.contact_sheet import Preview, draw_preview, preview_png
from fdsl_gen.dataset.folder import Folder
from fdsl_gen.executors import Observer, Silent


def build_manifest(folder: Folder) -> Manifest:
    """The manifest of a folder in which every shard has its marker.

    Raises:
        ShardsFailed: if shards are missing.
    """
    recipe = folder.recipe
    entries: dict[str, list[ShardEntry]] = {}
    missing = []
    for shard, entry in folder.entries().items():
        if entry is None:
            missing.append(folder.tar(shard).name)
        else:
            entries.setdefault(shard.split, []).append(entry)
    if missing:
        raise ShardsFailed(
            f"{len(missing)} shards of {folder.where} are missing, the first is {missing[0]};"
            " run its fdsl-gen command again"
        )
    total = sum(int(e.content_digest, 16) for split in entries.values() for e in split)
    image = recipe.variant.image
    return Manifest(
        format=FORMAT,
        recipe=recipe.to_dict(),
        identity=recipe.identity,
        recipe_digest=recipe.recipe_digest,
        content_digest=content_digest.as_text(total),
        task=recipe.variant.TASK,
        num_classes=recipe.num_classes,
        image=ImageEntry(
            height=image.height, width=image.width, channels=image.channels, levels=image.levels
        ),
        members=members_of(recipe),
        splits={
            name: SplitEntry(num_samples=sum(e.samples for e in split), shards=tuple(split))
            for name, split in entries.items()
        },
        pick_one_of=recipe.pick_one_of,
    )


def finalize(folder: Folder, watch: Observer | None = None) -> Manifest:
    """Complete a folder whose shards are all there. Doing it again changes nothing.

    Args:
        folder: of the dataset.
        watch: told what is odd about the images.

    Raises:
        ShardsFailed: if shards are missing.
    """
    folder.check_present()
    folder.fetch()
    manifest = build_manifest(folder)
    shared = folder.recipe.variant.shared_parameters(folder.recipe.seed)
    preview = draw_preview(folder.recipe, cache=folder.categories)
    files = {
        folder.shared: as_json(shared),
        folder.path / "_info.json": as_json(card.timm_info(manifest)),
        folder.path / "README.md": card.card(folder.recipe, manifest).encode(),
        folder.path / "preview.png": preview_png(folder.recipe, preview),
        folder.path / MANIFEST: manifest.to_json(),
    }
    for path, data in files.items():
        folder.refresh(path, data)
    folder.sweep()
    for remark in _remarks(manifest, preview):
        (watch or Silent()).note(remark)
    return manifest


def _remarks(manifest: Manifest, preview: Preview) -> Iterator[str]:
    """What is odd about the images of a dataset, a sentence each."""
    total = sum(split.num_samples for split in manifest.splits.values())
    blank = sum(shard.blank for split in manifest.splits.values() for shard in split.shards)
    if blank:
        yield f"warning: {blank:,} of {total:,} images are blank: all their pixels are equal"
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
