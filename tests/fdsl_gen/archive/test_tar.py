"""Tar bytes, indexes and digests."""

import io
import tarfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdsl_gen.archive import tar
from fdsl_gen.archive.sample import digest_text, sample_digest
from fdsl_gen.archive.tar import Encoded
from fdsl_gen.storage import local

contents = st.binary(max_size=1500)
samples = st.lists(st.tuples(contents, contents), min_size=1, max_size=6).map(
    lambda pairs: [
        Encoded(f"{k:05d}_00000", (("png", a), ("cls", b))) for k, (a, b) in enumerate(pairs)
    ]
)


@given(samples)
def test_tar_equals_the_standard_library(group):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar_path:
        for sample in group:
            for ending, data in sample.members:
                info = tarfile.TarInfo(f"{sample.key}.{ending}")
                info.size = len(data)
                tar_path.addfile(info, io.BytesIO(data))
    assert b"".join(tar.tar_parts(group)) == buffer.getvalue()


@given(samples)
def test_index_points_at_the_bytes(group):
    data = b"".join(tar.tar_parts(group))
    index = tar.index_of(group, ("png", "cls"))
    for row, sample in zip(index, group, strict=True):
        assert row["key"].decode() == sample.key
        for ending, stored in sample.members:
            start = int(row[f"{ending}_offset"])
            assert data[start : start + int(row[f"{ending}_size"])] == stored
    assert np.array_equal(np.load(io.BytesIO(tar.index_bytes(index))), index)


@pytest.fixture
def tar_path(tmp_path):
    group = [Encoded(f"{k:05d}_00000", (("png", b"x" * 700), ("cls", b"7"))) for k in range(5)]
    path = tmp_path / "a.tar"
    local.write_new(path, tar.tar_parts(group))
    return path, group


def test_reading_back(tar_path):
    path, group = tar_path
    assert list(tar.read_samples(path)) == group
    scanned = tar.scan_index(path, ("png", "cls"))
    assert np.array_equal(scanned, tar.index_of(group, ("png", "cls")))


def test_every_cut_is_noticed(tar_path):
    path, _ = tar_path
    data = path.read_bytes()
    useful = 5 * (512 + 1024 + 512 + 512) + 1024
    for size in [*range(0, useful, 97), useful - 1]:
        path.write_bytes(data[:size])
        with pytest.raises(ValueError):
            list(tar.read_samples(path))


def test_digest_depends_on_everything_but_order():
    image = np.zeros((4, 6), np.uint8)
    base = sample_digest("k", (1,), image)
    other = image.copy()
    other[3, 5] = 1
    variants = [
        sample_digest("l", (1,), image),
        sample_digest("k", (2,), image),
        sample_digest("k", (1, 1), image),
        sample_digest("k", (1,), image.reshape(6, 4)),
        sample_digest("k", (1,), image, image),
        sample_digest("k", (1,), other),
    ]
    assert len({base, *variants}) == 7
    assert digest_text(base + variants[0]) == digest_text(variants[0] + base)
    assert digest_text(2**128 + 5) == f"{5:032x}"


def test_a_file_is_never_replaced(tmp_path):
    path = tmp_path / "x"
    digest, size = local.write_new(path, [b"one"])
    assert (local.file_sha256(path), 3) == (digest, size)
    with pytest.raises(FileExistsError):
        local.write_new(path, [b"two"])
    assert path.read_bytes() == b"one"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_failed_write_leaves_nothing(tmp_path):
    def parts():
        yield b"one"
        raise OSError(5, "broken")

    with pytest.raises(OSError, match="broken"):
        local.write_new(tmp_path / "x", parts())
    assert list(tmp_path.iterdir()) == []


def test_files_respect_the_umask(tmp_path):
    import os

    before = os.umask(0o027)
    try:
        local.write_new(tmp_path / "x", [b"one"])
        local.write(tmp_path / "y", b"two")
    finally:
        os.umask(before)
    assert {p.stat().st_mode & 0o777 for p in tmp_path.iterdir()} == {0o640}


def test_sweep_takes_only_what_is_dead(tmp_path):
    import os

    host = local._HOST
    dead, alive, elsewhere, other = (
        f".a.tar.{host}.999999999.tmp",
        f".a.tar.{host}.{os.getpid()}.tmp",
        ".a.tar.elsewhere.1.tmp",
        f".b.tar.{host}.999999999.tmp",
    )
    for name in (dead, alive, elsewhere, other, ".notes.tmp", "a.tar"):
        (tmp_path / name).touch()
    assert local.sweep(tmp_path, ["a.tar"]) == 1
    assert not (tmp_path / dead).exists()
    assert local.sweep(tmp_path) == 2
    assert {p.name for p in tmp_path.iterdir()} == {alive, ".notes.tmp", "a.tar"}
