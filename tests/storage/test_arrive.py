"""Downloads without a service: what is done to the file before it gets its name."""

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from fdsl_gen.store.arrive import arrive, part_of

CONTENT = bytes(range(256)) * 40


class Source:
    """A store of one object."""

    url = "s3://bucket/prefix"

    def stream(self, name: str, start: int = 0, size: int | None = None) -> Iterator[bytes]:
        yield CONTENT[start:5000]
        yield CONTENT[5000:]


def test_a_file_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.tar"
    flushed: list[tuple[str, bool, int]] = []

    def fsync(number: int) -> None:
        file = Path(os.readlink(f"/proc/self/fd/{number}"))
        flushed.append((file.name, path.exists(), file.stat().st_size))

    monkeypatch.setattr(os, "fsync", fsync)
    arrive(Source(), "x.tar", path, len(CONTENT), sha256(CONTENT).hexdigest())  # type: ignore[arg-type]
    assert path.read_bytes() == CONTENT
    assert flushed == [(part_of(path, len(CONTENT)).name, False, len(CONTENT))]
