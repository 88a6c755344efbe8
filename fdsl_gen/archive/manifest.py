"""The manifest: what a finished dataset holds. Its presence means that everything is there.

It says nothing of time, host or run, so that two runs of a recipe give the same manifest.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from fdsl_gen.archive import png
from fdsl_gen.archive.label_types import LABEL_TYPES, LabelType
from fdsl_gen.archive.names import MEMBERS, SPLITS, shard_name
from fdsl_gen.archive.paths import MANIFEST
from fdsl_gen.archive.sample import SampleFormat, digest_text
from fdsl_gen.core import settings
from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.json_text import parse_json
from fdsl_gen.core.settings import setting

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class ShardEntry:
    """A finished shard."""

    file: str = setting(doc="file name")
    samples: int = setting(doc="number of samples", low=1)
    bytes: int = setting(doc="size of the file", low=1)
    sha256: str = setting(doc="sha256 of the file")
    content_digest: str = setting(doc="sum of the sample digests modulo 2**128")
    blank: int = setting(0, doc="images that show nothing but background", low=0)


@dataclass(frozen=True, kw_only=True)
class SplitEntry:
    """A split and its shards, in order."""

    num_samples: int = setting(doc="number of samples", low=1)
    shards: tuple[ShardEntry, ...] = setting(doc="its shards")


@dataclass(frozen=True, kw_only=True)
class ImageEntry:
    """What all images have in common."""

    height: int = setting(doc="pixels", low=1, high=65535)
    width: int = setting(doc="pixels", low=1, high=65535)
    channels: int = setting(doc="1 (gray) or 3 (RGB)", low=1, high=3)
    levels: tuple[int, ...] | None = setting(doc="the gray levels that occur; null: any")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The content of ``manifest.json``.

    Attributes:
        recipe: the recipe, as in its YAML.
        identity, recipe_digest: the two digests of the recipe.
        content_digest: sum of the digests of all samples modulo 2**128.
        task: the name of its label type: ``single``, ``multi``, ``segmentation``, ``instances``.
        num_classes: labels are 0 .. num_classes - 1.
        image: shape of every image.
        members: endings of the members of every sample, in order.
        splits: by name.
        views_per_sample: so many neighboring instances of a category count as one sample of which
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
    views_per_sample: int = 1

    @property
    def label_type(self) -> LabelType:
        """What the images are labeled with."""
        return LABEL_TYPES[self.task]

    @property
    def sample_format(self) -> SampleFormat:
        """How samples stand in the shards.

        Raises:
            UsageError: if the recipe in it names no encoding of images.
        """
        encoding = settings.convert(
            self.recipe.get("encoding", "gray8"), png.Encoding, f"{MANIFEST}.recipe.encoding"
        )
        image = self.image
        size = (image.height, image.width)
        return SampleFormat(
            self.label_type, self.members, size, image.channels, encoding, image.levels
        )

    def to_json(self) -> bytes:
        """The file's content."""
        data = settings.to_dict(self, defaults=True)
        data["splits"] = {
            name: settings.to_dict(split, defaults=True) for name, split in self.splits.items()
        }
        return (json.dumps(data, indent=1, allow_nan=False) + "\n").encode()


def parse_manifest(content: bytes, path: str) -> Manifest:
    """A manifest from the content of its file.

    Args:
        content: of the file.
        path: of the file, for messages.

    Raises:
        UsageError: if it is not one.
    """
    data = parse_json(content, path)
    names = list(Manifest.__dataclass_fields__)
    settings.check_keys(data, names, MANIFEST)
    missing = [name for name in names if name not in data and name != "views_per_sample"]
    if missing:
        raise UsageError(f"{path}: '{missing[0]}' is missing")
    if data["format"] != FORMAT:
        raise UsageError(f"{path}: format {data['format']!r} is not one this version reads")
    settings.check_keys(data["splits"], SPLITS, f"{MANIFEST}.splits")
    splits = {
        name: settings.from_dict(SplitEntry, entry, f"{MANIFEST}.splits.{name}")
        for name, entry in data["splits"].items()
    }
    image = settings.from_dict(ImageEntry, data["image"], f"{MANIFEST}.image")
    for name, kind in _TYPES.items():
        settings.convert(data.get(name, 1), kind, f"{MANIFEST}.{name}", settings.Bounds(low=1))
    settings.check_keys(data["recipe"], data["recipe"], f"{MANIFEST}.recipe")
    known = {"splits": splits, "image": image, "members": tuple(data["members"])}
    manifest = Manifest(**(data | known))
    _check(manifest, path)
    return manifest


_TYPES: dict[str, Any] = {
    "identity": str,
    "recipe_digest": str,
    "content_digest": str,
    "task": str,
    "num_classes": int,
    "members": tuple[str, ...],
    "views_per_sample": int,
}
_HEX = {"sha256": re.compile("[0-9a-f]{64}"), "content_digest": re.compile("[0-9a-f]{32}")}


def check_entry(entry: ShardEntry, split: str, where: str) -> None:
    """Refuse what a shard cannot be.

    Raises:
        UsageError: for a name that is none, or a digest that is none; begins with ``where``.
    """
    shard_name(entry.file, split, where)
    for name, pattern in _HEX.items():
        if not pattern.fullmatch(getattr(entry, name)):
            raise UsageError(f"{where}: the {name} of {entry.file} is not one")


def _check(manifest: Manifest, path: str) -> None:
    """Refuse what cannot be true, whatever the shards hold.

    Raises:
        UsageError: names the file.
    """
    if manifest.task not in LABEL_TYPES:
        known_tasks = ", ".join(LABEL_TYPES)
        raise UsageError(f"{MANIFEST}.task: must be one of {known_tasks}, not {manifest.task!r}")
    label_type, members = manifest.label_type, manifest.members
    known = set(members) <= set(MEMBERS) and len(set(members)) == len(members)
    if not known or not {"png", label_type.member} <= set(members):
        raise UsageError(f"{path}: members {list(members)} do not fit a {manifest.task} dataset")
    if "train" not in manifest.splits:
        raise UsageError(f"{path}: it has no train split")
    total = samples = 0
    for split, entry in manifest.splits.items():
        files = set()
        for shard in entry.shards:
            check_entry(shard, split, path)
            files.add(shard.file)
            total += int(shard.content_digest, 16)
            if shard.samples * len(members) * 1024 > shard.bytes:  # a header, and some content
                raise UsageError(
                    f"{path}: {shard.file} cannot hold {shard.samples:,} samples in"
                    f" {shard.bytes:,} bytes"
                )
        if len(files) != len(entry.shards):
            raise UsageError(f"{path}: a shard of the split {split} stands twice")
        if entry.num_samples != sum(shard.samples for shard in entry.shards):
            raise UsageError(f"{path}: num_samples of {split} is not the sum of its shards")
        samples += entry.num_samples
    if digest_text(total) != manifest.content_digest:
        raise UsageError(f"{path}: content_digest is not the sum of its shards")
    most = label_type.max_classes(samples)
    if manifest.num_classes > most:
        raise UsageError(
            f"{path}: num_classes {manifest.num_classes:,} cannot be: at most {most:,}"
        )
