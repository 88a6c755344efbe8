"""The manifest: what a finished dataset holds. Its presence means that everything is there.

It says nothing of time, host or run, so that two runs of a recipe give the same manifest.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fdsl_gen.core import settings
from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.settings import setting

FORMAT = 1
META = "__meta__"
MANIFEST = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class ShardEntry:
    """A finished shard."""

    file: str = setting(doc="file name")
    samples: int = setting(doc="number of samples", low=1)
    bytes: int = setting(doc="size of the file", low=1)
    sha256: str = setting(doc="sha256 of the file")
    content_digest: str = setting(doc="sum of the sample digests modulo 2**128")
    blank: int = setting(0, doc="images whose pixels are all equal", low=0)


@dataclass(frozen=True, kw_only=True)
class SplitEntry:
    """A split and its shards, in order."""

    num_samples: int = setting(doc="number of samples", low=1)
    shards: tuple[ShardEntry, ...] = setting(doc="its shards")


@dataclass(frozen=True, kw_only=True)
class ImageEntry:
    """What all images have in common."""

    height: int = setting(doc="pixels", low=1)
    width: int = setting(doc="pixels", low=1)
    channels: int = setting(doc="1 (grey) or 3 (RGB)", low=1, high=3)
    levels: tuple[int, ...] | None = setting(doc="the grey levels that occur; null: any")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The content of ``manifest.json``.

    Attributes:
        recipe: the recipe, as in its YAML.
        identity, recipe_digest: the two digests of the recipe.
        content_digest: sum of the digests of all samples modulo 2**128.
        task: ``single`` (one label), ``multi`` (several) or ``segmentation`` (a mask).
        num_classes: labels are 0 .. num_classes - 1.
        image: shape of every image.
        members: endings of the members of every sample, in order.
        splits: by name.
        pick_one_of: so many neighbouring instances of a category count as one sample of which
            training takes another at each visit.
    """

    format: int
    recipe: dict[str, Any]
    identity: str
    recipe_digest: str
    content_digest: str
    task: str
    num_classes: int
    image: ImageEntry
    members: tuple[str, ...]
    splits: dict[str, SplitEntry]
    pick_one_of: int = 1

    def to_json(self) -> bytes:
        """The file's content."""
        data = settings.to_dict(self, defaults=True)
        data["splits"] = {
            name: settings.to_dict(split, defaults=True) for name, split in self.splits.items()
        }
        return (json.dumps(data, indent=1, allow_nan=False) + "\n").encode()


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a dataset folder.

    Raises:
        UsageError: if there is none, or it is not one.
    """
    path = folder / MANIFEST
    try:
        return parse_manifest(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise UsageError(_why_missing(folder)) from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error}") from None


def parse_manifest(content: bytes, path: str) -> Manifest:
    """A manifest from the content of its file.

    Args:
        content: of the file.
        path: of the file, for messages.

    Raises:
        UsageError: if it is not one.
    """
    try:
        data = json.loads(content)
    except ValueError as error:
        raise UsageError(f"cannot read {path}: {error}") from None
    names = list(Manifest.__dataclass_fields__)
    settings.check_keys(data, names, MANIFEST)
    missing = [name for name in names if name not in data and name != "pick_one_of"]
    if missing:
        raise UsageError(f"{path}: '{missing[0]}' is missing")
    if data["format"] != FORMAT:
        raise UsageError(f"{path}: format {data['format']!r} is not one this version reads")
    splits = {
        name: settings.from_dict(SplitEntry, entry, f"{MANIFEST}.splits.{name}")
        for name, entry in data["splits"].items()
    }
    image = settings.from_dict(ImageEntry, data["image"], f"{MANIFEST}.image")
    known = {"splits": splits, "image": image, "members": tuple(data["members"])}
    return Manifest(**(data | known))


def _why_missing(folder: Path) -> str:
    if not folder.exists():
        return f"no such folder: {folder}"
    if (folder / META / "recipe.json").exists():
        return (
            f"{folder} is not finished: run its fdsl-gen command again, then training can begin"
            f" (fdsl-gen status {folder} tells what is missing)"
        )
    return f"{folder} has no {MANIFEST}: it is not a dataset made by fdsl-gen"
