"""Objects under a prefix of a bucket. An object is whole or not there.

Every object carries the sha256 of its content as metadata, so that what is there already can be
told without reading it.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256 as new_sha256
from pathlib import Path
from typing import Any, NamedTuple

from fdsl_gen.core.errors import Mismatch, StorageError
from fdsl_gen.store.answers import Missing, Unsupported, explained
from fdsl_gen.store.client import client_for, endpoint_of
from fdsl_gen.store.options import S3Options
from fdsl_gen.store.url import parse_s3

CHUNK = 1 << 20  # bytes; the most that a cut download loses
_PARTS_FROM = 256 << 20  # bytes, twice a published shard; what is larger is sent in parts
_PART = 16 << 20
_CONCURRENT_PARTS = 4


class Stat(NamedTuple):
    """An object: its size in bytes and the sha256 that it carries, if it does."""

    size: int
    sha256: str | None


@dataclass(frozen=True)
class S3Store:
    """A prefix of a bucket. Names are relative to it. Picklable; holds no credentials.

    All methods raise UsageError if credentials, bucket or settings are refused, and StorageError if
    the service does not answer after the retries.
    """

    bucket: str
    prefix: str = ""
    options: S3Options = field(default_factory=S3Options)

    @classmethod
    def at(cls, url: str, options: S3Options | None = None) -> "S3Store":
        """The store of ``s3://bucket/prefix``.

        Raises:
            UsageError: if it is not such a URL.
        """
        return cls(*parse_s3(url), options or S3Options())

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def _client(self) -> Any:
        return client_for(self.options)

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name

    @contextlib.contextmanager
    def _asking(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            meant = explained(error, self.options, self.bucket, self._key(name))
            if meant is None:
                raise
            raise meant from None

    def stat(self, name: str) -> Stat | None:
        """Size and sha256 of an object; None if there is none."""
        try:
            with self._asking(name):
                found = self._client.head_object(Bucket=self.bucket, Key=self._key(name))
        except Missing:
            return None
        return Stat(found["ContentLength"], found["Metadata"].get("sha256"))

    def sizes(self, under: str = "") -> Iterator[tuple[str, int]]:
        """Name and bytes of every object whose name begins with ``under``, in order."""
        start = len(self._key(""))
        with self._asking(under):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=self._key(under)
            )
            for page in pages:
                for found in page.get("Contents", ()):
                    yield found["Key"][start:], found["Size"]

    def read(self, name: str) -> bytes:
        """The content of a small object.

        Raises:
            Missing: if there is none.
        """
        return b"".join(self.stream(name))

    def stream(self, name: str, start: int = 0, size: int | None = None) -> Iterator[bytes]:
        """The content of an object from byte ``start`` on, in chunks.

        An answer that breaks off is continued where it ended.

        Args:
            name: of the object.
            start: less than its size, or 0.
            size: what it must have, in bytes.

        Raises:
            Missing: if there is none.
            FileExistsError: if another object took its place on the way.
            Mismatch: if it has another size.
        """
        at, etag, failures = start, None, 0
        while True:
            kept: dict[str, str] = {"IfMatch": etag} if etag else {}
            if at:
                kept["Range"] = f"bytes={at}-"
            with self._asking(name):
                answer = self._client.get_object(Bucket=self.bucket, Key=self._key(name), **kept)
            end = at + answer["ContentLength"]
            etag = answer["ETag"]
            if at and "ContentRange" not in answer:
                raise StorageError(f"{endpoint_of(self.options)} cannot continue a download")
            if size is not None and end != size:
                raise Mismatch(f"{self.url}/{name} has {end:,} bytes instead of {size:,}")
            try:
                for chunk in self._chunks(answer["Body"]):
                    at += len(chunk)
                    failures = 0
                    yield chunk
            except _Cut:
                pass
            if at == end:
                return
            failures += 1
            if failures > self.options.retries:
                raise StorageError(
                    f"{self.url}/{name} broke off {failures} times at byte {at:,} of {end:,};"
                    " run the same command again later"
                )
            time.sleep(min(5.0, 0.05 * 2**failures))

    def _chunks(self, body: Any) -> Iterator[bytes]:
        from botocore.exceptions import BotoCoreError
        from urllib3.exceptions import HTTPError

        try:
            with contextlib.closing(body):
                yield from body.iter_chunks(CHUNK)
        except (BotoCoreError, HTTPError, OSError):
            raise _Cut from None

    def write(self, name: str, data: bytes) -> None:
        """Put a small object, replacing what stands there in one step."""
        self._put(name, data, new_sha256(data).hexdigest())

    def write_new(self, name: str, content: bytes | Path, sha256: str) -> None:
        """Put an object that must not exist yet.

        The same content counts as written: a repeated request cannot know that it was heard before.
        Where the service has no conditional requests, a look before takes their place.

        Args:
            name: of the object.
            content: bytes, or a file (at most 5 GB).
            sha256: of the content, hexadecimal.

        Raises:
            FileExistsError: if there is another object of this name; it was not replaced.
        """
        there = self.stat(name)
        if there is None:
            try:
                self._put(name, content, sha256, IfNoneMatch="*")
                return
            except FileExistsError:
                there = self.stat(name)
            except Unsupported:
                self._put(name, content, sha256)
                return
        if there is None or there.sha256 != sha256:
            raise FileExistsError(f"{self.url}/{name}")

    def _put(self, name: str, content: bytes | Path, sha256: str, **conditions: str) -> None:
        with contextlib.ExitStack() as stack:
            body = stack.enter_context(content.open("rb")) if isinstance(content, Path) else content
            stack.enter_context(self._asking(name))
            self._client.put_object(
                Bucket=self.bucket,
                Key=self._key(name),
                Body=body,
                Metadata={"sha256": sha256},
                **conditions,
            )

    def upload(self, name: str, path: Path, sha256: str) -> None:
        """Put a file, replacing what stands there in one step; large ones in parts."""
        if path.stat().st_size < _PARTS_FROM:
            self._put(name, path, sha256)
            return
        from boto3.exceptions import S3UploadFailedError
        from boto3.s3.transfer import TransferConfig

        parts = TransferConfig(
            multipart_threshold=_PARTS_FROM,
            multipart_chunksize=_PART,
            max_concurrency=_CONCURRENT_PARTS,
        )
        with self._asking(name):
            try:
                self._client.upload_file(
                    os.fspath(path),
                    self.bucket,
                    self._key(name),
                    ExtraArgs={"Metadata": {"sha256": sha256}},
                    Config=parts,
                )
            except S3UploadFailedError as error:
                raise error.__context__ or error from None

    def delete(self, name: str) -> None:
        """Remove an object, if it is there."""
        with self._asking(name):
            self._client.delete_object(Bucket=self.bucket, Key=self._key(name))

    def abort_unfinished(self) -> int:
        """Give up uploads in parts that were begun under the prefix; how many there were."""
        count = 0
        with self._asking(""):
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self.bucket, Prefix=self._key("")
            )
            for page in pages:
                for found in page.get("Uploads", ()):
                    self._client.abort_multipart_upload(
                        Bucket=self.bucket, Key=found["Key"], UploadId=found["UploadId"]
                    )
                    count += 1
        return count


class _Cut(Exception):
    """An answer broke off."""
