"""Names inside data: of shards, samples and members. They are never paths."""

import re

from fdsl_gen.core.errors import UsageError

SPLITS = ("train", "validation")
MEMBERS = ("png", "cls", "json", "mask.png", "npy")
KEY_BYTES = 24  # of a sample's key in an index

_SHARD = re.compile(r"\w[\w.-]*-(train|validation)-[0-9]{6,12}\.tar")
_KEY = re.compile(r"[0-9]+(_[0-9]+)?")


def shard_name(name: str, split: str, where: str) -> str:
    """``name``, if it is that of a shard of ``split``.

    Raises:
        UsageError: if it is not, such as one in another folder; begins with ``where``.
    """
    match = _SHARD.fullmatch(name)
    if match is None or len(name.encode()) > 255:
        raise UsageError(f"{where} names {name[:80]!r}, which is not the name of a shard")
    if match[1] != split:
        raise UsageError(f"{where} names {name!r} in the split {split}")
    return name


def member_name(name: str) -> tuple[str, str]:
    """Key and ending of a member of a tar.

    Raises:
        ValueError: if it is not a name that fdsl-gen gives.
    """
    key, _, ending = name.partition(".")
    if not _KEY.fullmatch(key) or len(key) > KEY_BYTES or ending not in MEMBERS:
        raise ValueError(f"{name[:80]!r} is not the name of a member of a shard")
    return key, ending
