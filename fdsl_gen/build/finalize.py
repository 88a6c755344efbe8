"""The last step of a dataset: card, preview, loader files and, at the very end, the manifest."""

import json

from fdsl_gen.archive import content_digest
from fdsl_gen.archive.manifest import FORMAT, MANIFEST, ImageEntry, Manifest, ShardEntry, SplitEntry
from fdsl_gen.build.sample import members_of
from fdsl_gen.core.errors import ShardsFailed
from fdsl_gen.dataset import card
from fdsl_gen.dataset.contact_sheet import preview_png
from fdsl_gen.dataset.folder import Folder


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


def finalize(folder: Folder) -> Manifest:
    """Complete a folder whose shards are all there. Doing it again changes nothing.

    Raises:
        ShardsFailed: if shards are missing.
    """
    folder.fetch()
    manifest = build_manifest(folder)
    shared = folder.recipe.variant.shared(folder.recipe.seed)
    files = {
        folder.shared: as_json(shared),
        folder.path / "_info.json": as_json(card.timm_info(manifest)),
        folder.path / "README.md": card.card(folder.recipe, manifest).encode(),
        folder.path / "preview.png": preview_png(folder.recipe, cache=folder.categories),
        folder.path / MANIFEST: manifest.to_json(),
    }
    for path, data in files.items():
        folder.refresh(path, data)
    folder.sweep()
    return manifest


def as_json(data: object) -> bytes:
    """The content of a JSON file."""
    return (json.dumps(data, indent=1, allow_nan=False) + "\n").encode()
