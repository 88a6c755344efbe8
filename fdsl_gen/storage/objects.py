"""Objects under a prefix of a bucket, in any of three clouds. An object is whole or not there.

Every object carries the sha256 of its content as metadata, so that what is there already can be
told without reading it, and what is read can be checked.
"""

import builtins
import contextlib
import mmap
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256 as new_sha256
from pathlib import Path
from typing import Any, TypeVar, cast

from fdsl_gen.core.errors import Mismatch, StorageError
from fdsl_gen.core.json_text import MAX_BYTES
from fdsl_gen.storage import local
from fdsl_gen.storage.base import Stat, Version
from fdsl_gen.storage.client import client_for
from fdsl_gen.storage.clouds import Client
from fdsl_gen.storage.errors import (
    Asked,
    ObjectExists,
    ObjectMissing,
    Unreadable,
    Unsupported,
    broke_off,
    is_timeout,
    no_storage,
    status_of,
    translate_error,
)
from fdsl_gen.storage.options import StorageOptions
from fdsl_gen.storage.url import ObjectUrl, parse_url

_PARTS_FROM = 256 << 20  # bytes, twice a published shard; what is larger is sent in parts
_PART = 16 << 20
_CONCURRENT_PARTS = 4
# A request times out when no answer has begun, and none begins before its body is sent: the slowest
# line that is waited for, in bytes a second.
_SLOWEST = 256 << 10
_PROBE = ".fdsl-probe"

T = TypeVar("T")


@dataclass(frozen=True)
class ObjectStore:
    """A prefix of a bucket, a ``Store``. Names are relative to it.

    All methods raise UsageError if credentials, bucket or settings are refused, and StorageError if
    the service does not answer after the retries, or answers what no object storage does.
    """

    scheme: str
    bucket: str
    prefix: str = ""
    options: StorageOptions = field(default_factory=StorageOptions)

    @classmethod
    def at(cls, url: str, options: StorageOptions | None = None) -> "ObjectStore":
        """The store of ``s3://bucket/prefix``, ``gs://bucket/prefix``, ``az://container/prefix``.

        Raises:
            UsageError: if it is not such a URL.
        """
        return cls(*parse_url(url), options or StorageOptions())

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.prefix}".rstrip("/")

    def _client(self, body: int = 0) -> Client:
        """A client, patient enough for a request with a body of so many bytes."""
        options = self.options
        minutes = body // _SLOWEST // 60
        if minutes:
            extra = 60 << minutes.bit_length()  # few different clients
            options = replace(options, timeout=options.timeout + extra)
        return client_for(ObjectUrl(self.scheme, self.bucket, self.prefix), options)

    def _asked(self, name: str) -> Asked:
        key = f"{self.prefix}/{name}".strip("/")
        attempts = self.options.retries + 1
        return Asked(self.scheme, self.bucket, key, self._client().endpoint, attempts)

    @contextlib.contextmanager
    def _asking(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            meant = translate_error(error, self._asked(name))
            if meant is None:
                raise
            raise meant from None

    def _get(self, name: str, **options: Any) -> Any:
        """obstore's answer to a request for an object, once it is sure to be one of a storage."""
        store = self._client().store
        import obstore

        with self._asking(name):
            found = self._repeated(
                lambda: obstore.get(store, name, options=cast(Any, options or None))
            )
        if str(found.attributes.get("Content-Type", "")).startswith("text/html"):
            raise no_storage(self._asked(name))
        return found

    def _repeated(self, ask: Callable[[], T]) -> T:
        """What obstore answers; it repeats requests that got no answer, but none that broke off."""
        for attempt in range(self.options.retries):
            try:
                return ask()
            except Exception as error:
                if not broke_off(error):
                    raise
            time.sleep(min(5.0, 0.05 * 2**attempt))
        return ask()

    def prepare(self) -> None:
        """See ``Store``; a prefix is made by its first object."""

    def stat(self, name: str) -> Stat | None:
        """See ``Store``."""
        try:
            found = self._get(name, head=True)
        except ObjectMissing:
            return None
        return Stat(found.meta["size"], found.attributes.get("sha256"))

    def list(self, under: str = "") -> dict[str, int]:
        """See ``Store``."""
        return {name: found.size for name, found in self.list_versions(under).items()}

    def list_versions(self, under: str = "") -> dict[str, Version]:
        """Every file in ``under`` and below it, by name, sorted."""
        store = self._client().store
        import obstore

        def ask() -> dict[str, Version]:
            pages = obstore.list(store, under or None)
            return {one["path"]: _version(one) for page in pages for one in page}

        with self._asking(under):
            found = self._repeated(ask)
        self._see_a_storage()
        return {name: found[name] for name in sorted(found) if name}

    def version(self, name: str) -> Version | None:
        """Which content a file has; None if there is none."""
        try:
            return _version(self._get(name, head=True).meta)
        except ObjectMissing:
            return None

    def _see_a_storage(self) -> None:
        """A page to log in counts as an empty listing; but it also stands for what is not there."""
        name = f"{_PROBE}-{uuid.uuid4().hex}"
        try:
            self._get(name, head=True)
        except ObjectMissing:
            return
        raise no_storage(self._asked(name))

    def top_names(self) -> builtins.list[str]:
        """See ``Store``."""
        return sorted({name.partition("/")[0] for name in self.list()})

    def read(self, name: str, max_bytes: int = MAX_BYTES) -> bytes:
        """See ``Store``."""
        for _ in range(2):  # it may be replaced while it is read
            found = self._get(name)
            if found.meta["size"] > max_bytes:  # nothing of it has been asked for yet
                raise Unreadable(
                    f"cannot read {self.url}/{name}: it is larger than {max_bytes:,} bytes"
                )
            expected = found.attributes.get("sha256")
            data = b"".join(self._pieces(name, found, None))
            if expected is None or new_sha256(data).hexdigest() == expected:
                return data
        raise Mismatch(f"{self.url}/{name} is damaged: its sha256 is not the one it was sent with")

    def stream(
        self, name: str, start: int = 0, size: int | None = None, count: int | None = None
    ) -> Iterator[bytes]:
        """See ``Store``. An answer that breaks off is continued where it ended."""
        stop = None if count is None else start + count
        wanted = {"range": _range(start, stop)} if start or count is not None else {}
        found = self._get(name, **wanted)
        if found.range[0] != start:
            raise StorageError(f"{self._asked(name).endpoint} cannot continue a download")
        if size is not None and found.meta["size"] != size:
            raise Mismatch(
                f"{self.url}/{name} has {found.meta['size']:,} bytes instead of {size:,}"
            )
        yield from self._pieces(name, found, start, stop)

    def _pieces(
        self, name: str, found: Any, start: int | None, stop: int | None = None
    ) -> Iterator[bytes]:
        """The content that an answer promises.

        obstore continues an answer that breaks off a number of times; as long as something comes,
        so is that counted from new here.
        """
        at, end, tag = start or 0, found.meta["size"], found.meta["e_tag"]
        if stop is not None:
            end = min(end, stop)
        while True:
            before = at
            try:
                for piece in found.stream(min_chunk_size=1):  # none is held back
                    at += len(piece)
                    if at > end:
                        break
                    yield bytes(piece)
            except Exception as error:
                if at == before:
                    raise self._broken(error, name, at, end) from None
            if at > end:
                raise no_storage(self._asked(name))
            if at == end:
                return
            if at == before:
                raise self._broken(None, name, at, end)
            try:
                same = {"if_match": tag} if tag else {}
                found = self._get(name, range=_range(at, stop), **same)
            except ObjectExists:
                raise self._changed(name) from None

    def _changed(self, name: str) -> Mismatch:
        return Mismatch(f"{self.url}/{name} was replaced while it was read; run this again")

    def _broken(self, error: Exception | None, name: str, at: int, end: int) -> Exception:
        meant = translate_error(error, self._asked(name)) if error else None
        if isinstance(meant, ObjectExists):
            return self._changed(name)
        if error is not None and meant is None:
            return error
        if error is not None and status_of(error):
            return meant or error
        return StorageError(
            f"{self.url}/{name} broke off {self.options.retries + 1} times at byte {at:,} of"
            f" {end:,}; run the same command again later"
        )

    def write(self, name: str, data: bytes) -> None:
        """See ``Store``."""
        self._put(name, data, new_sha256(data).hexdigest())

    def put_new(self, name: str, content: bytes | Path, sha256: str) -> None:
        """See ``Store``. A file may have 5 GB.

        The same content counts as written: a repeated request cannot know that it was heard before.
        Where the service has no conditional requests, a look before takes their place.
        """
        there = self.stat(name)
        if there is None:
            try:
                self._put(name, content, sha256, mode="create")
                return
            except ObjectExists:
                there = self.stat(name)
            except Unsupported:
                self._put(name, content, sha256)
                return
        if there is None or there.sha256 != sha256:
            raise ObjectExists(f"{self.url}/{name} is there already")

    def _put(self, name: str, content: bytes | Path, sha256: str, **how: Any) -> None:
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        store = self._client(size).store
        import obstore

        with contextlib.ExitStack() as stack:
            stack.enter_context(self._asking(name))
            body = stack.enter_context(_mapped(content)) if isinstance(content, Path) else content
            for attempt in range(self.options.retries + 1):
                try:
                    obstore.put(
                        store,
                        name,
                        body,
                        attributes={"sha256": sha256},
                        use_multipart=False,
                        **how,
                    )
                    return
                except Exception as error:
                    # obstore does not repeat a conditional request that got no answer; whether it
                    # was heard is seen by put_new.
                    again = how and is_timeout(error) and attempt < self.options.retries
                    if not again:
                        raise

    def write_new(self, name: str, parts: Iterable[bytes], folder: Path) -> tuple[str, int]:
        """See ``Store``; the file is built whole on this machine and sent whole."""
        built, hexdigest, size = local.write_temporary(folder / Path(name).name, parts)
        try:
            self.put_new(name, built, hexdigest)
        finally:
            built.unlink(missing_ok=True)
        return hexdigest, size

    def upload(self, name: str, path: Path, sha256: str) -> None:
        """See ``Store``; large files go in parts."""
        if path.stat().st_size < _PARTS_FROM:
            self._put(name, path, sha256)
            return
        store = self._client(_PART * _CONCURRENT_PARTS).store
        import obstore

        with self._asking(name):
            obstore.put(
                store,
                name,
                path,
                attributes={"sha256": sha256},
                use_multipart=True,
                chunk_size=_PART,
                max_concurrency=_CONCURRENT_PARTS,
            )

    def delete(self, name: str) -> None:
        """See ``Store``."""
        store = self._client().store
        import obstore

        with contextlib.suppress(ObjectMissing), self._asking(name):
            obstore.delete(store, name)

    @contextlib.contextmanager
    def local_copy(self, name: str, folder: Path) -> Iterator[Path]:
        """See ``Store``."""
        path, _, _ = local.write_temporary(folder / Path(name).name, self.stream(name))
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _mapped(path: Path) -> Iterator[Any]:
    """The content of a file without a copy in memory."""
    with path.open("rb") as file:
        if path.stat().st_size == 0:  # which cannot be mapped
            yield b""
            return
        # Not closed here: obstore may hold it a moment longer.
        yield mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _version(meta: Any) -> Version:
    # Azure puts the tag in quotes in the header of an answer, but not in a listing.
    tag = (meta["e_tag"] or "").strip('"')
    return Version(meta["size"], tag or meta["last_modified"].isoformat())


def _range(start: int, stop: int | None) -> Any:
    """obstore's way to ask for bytes ``start .. stop - 1``, or all from ``start`` on."""
    return {"offset": start} if stop is None else (start, stop)
