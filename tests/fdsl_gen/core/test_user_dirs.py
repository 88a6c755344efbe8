"""Folders that must be this user's alone are, or are not used."""

import os
import stat
import tempfile
from pathlib import Path

import pytest

from fdsl_gen.core.user_dirs import NotPrivate, cache_folder, private_folder, temporary_folder


@pytest.fixture
def other_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands on the disk now is another user's."""
    mine = os.getuid()
    monkeypatch.setattr("fdsl_gen.core.user_dirs.os.getuid", lambda: mine + 1)


def test_every_level_is_made_for_this_user_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        folder = private_folder(tmp_path / "base", "one", "two")
    finally:
        os.umask(before)
    assert folder == tmp_path / "base" / "one" / "two"
    for level in (folder, folder.parent, folder.parent.parent):
        assert stat.S_IMODE(level.lstat().st_mode) == 0o700
    assert private_folder(tmp_path / "base", "one", "two") == folder


@pytest.mark.parametrize("names", [("one",), ("one", "two")])
def test_a_level_of_another_user_is_refused(
    tmp_path: Path, names: tuple[str, ...], other_user: None
) -> None:
    tmp_path.joinpath(*names).mkdir(parents=True)
    with pytest.raises(NotPrivate, match="belongs to another user; it is not used"):
        private_folder(tmp_path, *names)


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702, 0o1777])
@pytest.mark.parametrize("level", [0, 1])
def test_a_level_that_others_can_write_is_refused(tmp_path: Path, mode: int, level: int) -> None:
    folder = private_folder(tmp_path, "one", "two")
    (folder.parent, folder)[level].chmod(mode)
    with pytest.raises(NotPrivate, match="can be written by other users"):
        private_folder(tmp_path, "one", "two")


def test_links_are_followed_if_link_and_folder_are_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scratch").mkdir(mode=0o700)
    (tmp_path / "one").symlink_to(tmp_path / "scratch")
    assert private_folder(tmp_path, "one").samefile(tmp_path / "scratch")

    def made_by_another(self: Path) -> os.stat_result:
        found = os.lstat(self)
        return os.stat_result((*found[:4], os.getuid() + 1, *found[5:]))

    monkeypatch.setattr(Path, "lstat", made_by_another)
    with pytest.raises(NotPrivate, match="belongs to another user"):
        private_folder(tmp_path, "one")


def test_a_link_to_a_folder_that_others_can_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o1777)
    (tmp_path / "one").symlink_to(tmp_path / "shared")
    with pytest.raises(NotPrivate, match="can be written by other users"):
        private_folder(tmp_path, "one")


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("file", "dangling"):
        with pytest.raises(NotPrivate, match=f"cannot make the folder .*{name}: File exists"):
            private_folder(tmp_path, name)


def test_the_cache_is_where_the_variable_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache_folder("kernels") == tmp_path / "cache" / "fdsl" / "kernels"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder("kernels") == tmp_path / ".cache" / "fdsl" / "kernels"


def test_the_cache_falls_back_to_the_temporary_folder_and_then_to_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ours = tmp_path / f"fdsl-{os.getuid()}"
    assert cache_folder("kernels") == ours / "kernels"
    assert temporary_folder("decoded") == ours / "decoded"
    ours.chmod(0o777)
    assert cache_folder("kernels") is None
    with pytest.raises(NotPrivate):
        temporary_folder("decoded")
