"""Names of places: a folder, ``s3://bucket/prefix`` (gs, az), ``hf://datasets/OWNER/NAME``."""

import re
from pathlib import Path
from typing import NamedTuple

from fdsl_gen.core.errors import UsageError
from fdsl_gen.storage.clouds import CLOUDS

SCHEMES = tuple(name for name, cloud in CLOUDS.items() if cloud.writable)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")  # two letters at least: C:\ is a drive
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")


class ObjectUrl(NamedTuple):
    """A place in object storage; ``prefix`` has no slash at its ends and may be empty."""

    scheme: str
    bucket: str
    prefix: str


def scheme_of(text: str) -> str | None:
    """``s3`` of ``s3://...``, ``pipe`` of ``pipe:...``; None for the path of a folder."""
    found = _SCHEME.match(text)
    return found[1].lower() if found else None


def is_remote(place: str | Path) -> bool:
    """Whether a place is object storage rather than a folder.

    Raises:
        UsageError: if it is empty, or a URL of another kind.
    """
    if place == "":
        raise UsageError("the name of a folder or place is empty")
    if isinstance(place, Path) or scheme_of(place) is None:
        return False
    parse_url(place)
    return True


def parse_url(text: str) -> ObjectUrl:
    """The parts of ``s3://bucket/prefix``, ``gs://bucket/prefix`` or ``az://container/prefix``.

    Raises:
        UsageError: if it is something else.
    """
    scheme = scheme_of(text)
    if scheme is None or scheme not in SCHEMES or not text[len(scheme) :].startswith("://"):
        what = f"{scheme}:" if scheme else text
        raise UsageError(
            f"{what} is not a place fdsl-gen knows here; give a folder, s3://BUCKET/PREFIX,"
            " gs://BUCKET/PREFIX or az://CONTAINER/PREFIX (other services speak S3 too:"
            " --endpoint-url)"
        )
    bucket, _, prefix = text[len(scheme) + 3 :].partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise UsageError(
            f"'{bucket}' is not the name of a bucket (3 to 63 of a-z, 0-9, '.', '-' and '_');"
            f" give {scheme}://BUCKET/PREFIX"
        )
    parts = [part for part in prefix.split("/") if part]
    if {".", ".."} & set(parts):
        raise UsageError(
            f"{scheme}://{bucket}/{prefix}: '.' and '..' mean nothing in object storage"
        )
    if not prefix.isprintable():
        raise UsageError(f"{scheme}://{bucket}: the prefix holds characters that cannot be printed")
    return ObjectUrl(scheme, bucket, "/".join(parts))


def parse_hub(text: str) -> str:
    """OWNER/NAME of ``hf://datasets/OWNER/NAME``.

    Raises:
        UsageError: if it is something else.
    """
    found = re.fullmatch(r"hf://datasets/([\w.-]+/[\w.-]+)/?", text)
    if not found:
        raise UsageError(f"{text}: a dataset of the Hugging Face Hub is hf://datasets/OWNER/NAME")
    return found[1]
