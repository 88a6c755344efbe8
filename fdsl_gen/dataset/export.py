"""A dataset as a tree of files, for tools that know nothing of shards."""

from collections.abc import Callable
from pathlib import Path

from fdsl_gen.archive import tar
from fdsl_gen.archive.label_types import SINGLE
from fdsl_gen.core.errors import Mismatch, UsageError
from fdsl_gen.dataset.reader import check_shard_file
from fdsl_gen.storage import local
from fdsl_gen.storage.manifest import read_manifest


def export_imagefolder(path: Path, out: Path, seen: Callable[[int], None]) -> int:
    """Write ``OUT/{split}/{category:05d}/{key}.png`` for every sample.

    Files that are there already are kept, so that an interrupted export can be run again.

    Args:
        path: finished dataset folder.
        out: new or begun by an earlier export of the same dataset.
        seen: called with the number of images done since the last call.

    Returns:
        Number of images in the tree.
    """
    manifest = read_manifest(path)
    if manifest.label_type != SINGLE:
        raise UsageError(f"{path} is a {manifest.task} dataset: it has no folder for each label")
    note = out / ".fdsl-export"
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file, not a folder")
    if (
        out.exists()
        and any(out.iterdir())
        and (not note.exists() or note.read_bytes() != manifest.recipe_digest.encode())
    ):
        raise UsageError(f"{out} is not empty; give another folder")
    local.write(note, manifest.recipe_digest.encode())
    count = 0
    for split, entry in manifest.splits.items():
        for shard in entry.shards:
            check_shard_file(path, shard)
            try:
                for sample in tar.read_samples(path / shard.file):
                    members = dict(sample.members)
                    target = (
                        out
                        / split
                        / f"{SINGLE.decode(members['cls']).labels[0]:05d}"
                        / f"{sample.key}.png"
                    )
                    if not target.exists():
                        target.parent.mkdir(parents=True, exist_ok=True)
                        partial = target.with_suffix(".part")
                        partial.write_bytes(members["png"])
                        partial.rename(target)
                    count += 1
                    seen(1)
            except ValueError as error:
                raise Mismatch(str(error)) from None
    return count
