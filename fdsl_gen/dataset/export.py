"""A dataset as a tree of files, for tools that know nothing of shards."""

import contextlib
import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fdsl_gen.archive import png, tar
from fdsl_gen.archive.label_types import Target
from fdsl_gen.archive.manifest import Manifest, ShardEntry
from fdsl_gen.core.errors import Mismatch, UsageError
from fdsl_gen.dataset.shard_check import check_shard_file
from fdsl_gen.storage import local
from fdsl_gen.storage.manifest import read_manifest

_NOTE = ".fdsl-export"  # which dataset, and how it was exported
_TABLE = "labels.csv"


def export_tree(path: Path, out: Path, seen: Callable[[int], None], *, flat: bool = False) -> int:
    """Write every sample as files below ``out``.

    One label per image: ``OUT/{split}/{label:05d}/{key}.png``. Several:
    ``OUT/{split}/images/{key}.png`` and a table ``OUT/{split}/labels.csv`` with the columns
    ``file`` and ``labels`` (with spaces between them). Masks: ``OUT/{split}/images/{key}.png`` and
    ``OUT/{split}/masks/{key}.png``. Instances: ``OUT/{split}/images/{key}.png`` and
    ``OUT/{split}/annotations/{key}.json``. Points: a ``.npy`` beside the image. Files that are
    there already are kept, so that an interrupted export can be run again.

    Args:
        path: finished dataset folder.
        out: new or begun by an earlier export of the same dataset.
        seen: called with the number of images done since the last call.
        flat: write ``OUT/{key}.png`` and no labels instead.

    Returns:
        Number of images in the tree.

    Raises:
        UsageError: if ``out`` holds something else, or ``path`` is no finished dataset.
        Mismatch: if a shard is damaged; nothing of it is written.
    """
    manifest = read_manifest(path)
    claim(out, f"{manifest.recipe_digest} {'flat' if flat else 'tree'}")
    count = 0
    for split, entry in manifest.splits.items():
        with contextlib.ExitStack() as stack:
            table = None
            for shard in entry.shards:
                check_shard_file(path / shard.file, shard)
                for key, members in samples_of(path, manifest, shard):
                    if flat:
                        write_once(out / f"{key}.png", members["png"])
                    else:
                        folder = out / split
                        name, labels = _write_sample(folder, manifest, shard, key, members)
                        if labels is not None:
                            table = table or stack.enter_context(_table(folder / _TABLE))
                            table.writerow((name, labels))
                    count += 1
                    seen(1)
    return count


def claim(out: Path, note: str) -> None:
    """Say in the folder what it is for, or refuse it if it is for something else."""
    stored = out / _NOTE
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file, not a folder")
    if stored.is_file() and stored.read_bytes() != note.encode():
        raise UsageError(f"{out} holds another export; give another folder")
    if not stored.is_file() and out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty; give another folder")
    local.write(stored, note.encode())


def samples_of(
    path: Path, manifest: Manifest, shard: ShardEntry
) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Keys and members of the samples of a shard."""
    try:
        for sample in tar.read_samples(path / shard.file):
            members = dict(sample.members)
            try:
                _check_members(manifest, members)
            except ValueError as error:
                raise ValueError(f"{shard.file}, sample {sample.key}: {error}") from None
            yield sample.key, members
    except ValueError as error:
        raise Mismatch(str(error)) from None


def _write_sample(
    folder: Path, manifest: Manifest, shard: ShardEntry, key: str, members: dict[str, bytes]
) -> tuple[str, str | None]:
    """Write the files of a sample; name of its image and its labels in the table, if any."""
    label_type = manifest.label_type
    target = target_of(manifest, shard, key, members)
    files = label_type.files(key, target, members)
    if "npy" in members:
        files[next(iter(files)).removesuffix("png") + "npy"] = members["npy"]
    for name, content in files.items():
        write_once(folder / name, content)
    return next(iter(files)), label_type.csv_labels(target)


def _check_members(manifest: Manifest, members: dict[str, bytes]) -> None:
    """ValueError for other members, and for an image whose header tells of another one."""
    if set(members) != set(manifest.members):
        raise ValueError("it has other members")
    found, expected = png.size_of(members["png"]), (manifest.image.height, manifest.image.width)
    if found != expected:
        raise ValueError("its image has {}x{} pixels, not {}x{}".format(*found, *expected))


def target_of(manifest: Manifest, shard: ShardEntry, key: str, members: dict[str, bytes]) -> Target:
    """What an image is labeled with.

    Raises:
        Mismatch: if that is damaged, or none of what this dataset can have.
    """
    try:
        target = manifest.label_type.decode(members[manifest.label_type.member])
        _check_target(manifest, target)
    except ValueError as error:
        raise Mismatch(f"{shard.file}, sample {key}: {error}") from None
    return target


def _check_target(manifest: Manifest, target: Target) -> None:
    used = target.labels
    if target.mask is not None:
        if target.mask.shape != (manifest.image.height, manifest.image.width):
            raise ValueError("its mask has another size than its image")
        used = used or (int(target.mask.max()),)
    if max(used, default=0) >= manifest.num_classes:
        raise ValueError(f"it is of class {max(used)}, and there are {manifest.num_classes}")


def write_once(target: Path, content: bytes) -> None:
    """Write a file whole, unless it is there."""
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".part")
        partial.write_bytes(content)
        partial.rename(target)


@contextlib.contextmanager
def _table(path: Path) -> Iterator[Any]:
    """A writer of the rows of a table, which gets its name when it is whole."""
    partial = path.with_suffix(".part")
    with partial.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("file", "labels"))
        yield rows
    partial.rename(path)
