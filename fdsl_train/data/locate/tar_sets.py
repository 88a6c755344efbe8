"""Which tars ``--data`` means, where they are not those of a dataset of ours.

A folder of tars, a pattern such as ``train-{000000..000146}.tar`` (braces are those of the
webdataset library), the same in object storage or on a web server, or a dataset of the Hugging
Face Hub. Their names tell the splits, unless ``_info.json`` does.
"""

import contextlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fdsl_gen.core.errors import UsageError
from fdsl_gen.storage.base import Store, Version
from fdsl_gen.storage.errors import ObjectMissing
from fdsl_gen.storage.local import LocalStore
from fdsl_gen.storage.objects import ObjectStore
from fdsl_gen.storage.options import StorageOptions
from fdsl_gen.storage.threads import SMALL_REQUESTS, map_threads
from fdsl_gen.storage.url import SCHEMES, scheme_of
from fdsl_train.data.locate.hub_tars import hub_tars
from fdsl_train.data.locate.tar_index import TarFile
from fdsl_train.data.locate.tar_info import INFO, MAX_BYTES, TarInfo, read_info
from fdsl_train.data.locate.tar_names import WEB, is_tar_text
from fdsl_train.data.sources.image_walk import folders_in

TRAIN = ("train", "training")
#: Parts to validate on, in the order of preference; those of a group mean the same part.
HELD_OUT = (("val", "valid", "validation"), ("test", "testing"))
_WORDS = frozenset((*TRAIN, *(name for group in HELD_OUT for name in group)))
_ALL = ""  # the split of tars whose names tell none


@dataclass(frozen=True)
class TarSet:
    """Tars of one place, by split.

    Attributes:
        store: where they are.
        name: how messages call them.
        splits: in order; under an empty name where nothing tells splits.
        info: what stands beside them.
    """

    store: LocalStore | ObjectStore
    name: str
    splits: dict[str, tuple[TarFile, ...]]
    info: TarInfo

    def train(self) -> str:
        """The split to train on.

        Raises:
            UsageError: if there is none.
        """
        found = [name for name in self.splits if name.lower() in (*TRAIN, _ALL)]
        if len(found) != 1:
            raise UsageError(
                f"{self.name} has no tars to train on: {self._listed()}; give those that are meant"
                " by a pattern, such as DIR/part-{000000..000146}.tar"
            )
        return found[0]

    def held_out(self) -> str | None:
        """The split to validate on, if there is one."""
        for group in HELD_OUT:
            found = [name for name in self.splits if name.lower() in group]
            if len(found) > 1:
                raise UsageError(
                    f"{self.name} has the splits {' and '.join(found)}, which mean the same part;"
                    " give the tars that are meant by --val-data"
                )
            if found:
                return found[0]
        return None

    def split(self, name: str | None) -> str:
        """The split that a user calls so; None: the one to measure on.

        Raises:
            UsageError: if there is none.
        """
        if name is None:
            found = self.held_out()
            if found is None and len(self.splits) == 1:
                found = next(iter(self.splits))
            if found is not None:
                return found
            raise UsageError(f"{self.name} has no split to measure on: {self._listed()}")
        for known in self.splits:
            if known and known.lower() == name.lower():
                return known
        raise UsageError(f"{self.name} has no split {name}: {self._listed()}")

    def _listed(self) -> str:
        names = [name for name in self.splits if name]
        return f"its tars are of {', '.join(names)}" if names else "its tars tell no splits"


def find_tars(data: Path | str, options: StorageOptions) -> TarSet | None:
    """The tars that ``--data`` means; None if it is a folder or prefix without any.

    Raises:
        UsageError: if they are not there, or what stands beside them contradicts itself.
        StorageError: if the storage does not answer.
    """
    text = str(data)
    scheme = scheme_of(text)
    if scheme is None:
        return _local(Path(data)) if not is_tar_text(text) else _local_pattern(text)
    if scheme == "hf":
        store, versions = hub_tars(_folder_of(text), options)
        return _listed(store, versions, text)
    if scheme in WEB:
        return _remote_pattern(text, options) if text.endswith(".tar") else _web(text, options)
    if scheme in SCHEMES and text.endswith(".tar"):
        return _remote_pattern(text, options)
    store = ObjectStore.at(text, options)
    return _listed(store, store.list_versions(), text)


def _local(folder: Path) -> TarSet | None:
    if not folder.is_dir():
        return None
    below = folders_in(folder)
    named = [name for name in below if name.lower() in _WORDS]
    found = [path for name in named for path in _tars_in(folder / name)]
    if not found and not below:
        found = _tars_in(folder)
    if not found:
        return None
    return _set_of(LocalStore(folder), str(folder), {_relative(p, folder): _stat(p) for p in found})


def _tars_in(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("*.tar") if not p.name.startswith("."))


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _stat(path: Path) -> Version:
    try:
        facts = path.stat()
    except OSError as error:
        reason = "is not there" if isinstance(error, FileNotFoundError) else error.strerror
        raise UsageError(f"{path} {reason}") from None
    return Version(facts.st_size, str(facts.st_mtime_ns))


def _expand(text: str) -> list[str]:
    from webdataset.shardlists import expand_urls

    try:
        found: list[str] = expand_urls(text)
    except (ValueError, AssertionError) as error:
        raise UsageError(f"{text}: {error}") from None
    if len(set(found)) < len(found):
        raise UsageError(f"{text} names a tar twice")
    return found


def _local_pattern(text: str) -> TarSet:
    paths = [Path(one).absolute() for one in _expand(text)]
    folder = Path(os.path.commonpath([path.parent for path in paths]))
    return _set_of(LocalStore(folder), text, {_relative(p, folder): _stat(p) for p in paths})


def _remote_pattern(text: str, options: StorageOptions) -> TarSet:
    urls = [PurePosixPath(url.partition("://")[2]) for url in _expand(text)]
    schemes = {scheme_of(url) for url in _expand(text)}
    common = os.path.commonpath([url.parent for url in urls])
    if len(schemes) > 1 or not common:
        raise UsageError(f"{text} names tars of several places; give those of one")
    bucket, _, prefix = common.partition("/")
    (scheme,) = schemes
    store = _store_of(str(scheme), bucket, prefix, options)
    names = [url.relative_to(common).as_posix() for url in urls]
    found = dict(map_threads(store.version, names, min(SMALL_REQUESTS, len(names))))
    missing = [name for name in names if found[name] is None]
    if missing:
        raise UsageError(f"{store.url}/{missing[0]} is not there ({len(missing)} are missing)")
    return _set_of(store, text, {name: found[name] for name in names})  # type: ignore[misc]


def _store_of(scheme: str, bucket: str, prefix: str, options: StorageOptions) -> ObjectStore:
    if scheme in WEB:
        return ObjectStore(scheme, bucket, prefix, options)
    return ObjectStore.at(f"{scheme}://{bucket}/{prefix}", options)


def _web(text: str, options: StorageOptions) -> TarSet:
    """A folder of a web server, which cannot be listed: ``_info.json`` tells what is there."""
    scheme, _, place = text.partition("://")
    host, _, prefix = place.strip("/").partition("/")
    store = ObjectStore(scheme, host, prefix, options)
    info = read_info(lambda name: _small(store, name), store.url)
    if not info.splits:
        raise UsageError(
            f"{text} has no {INFO} that lists its tars, and a web server cannot be asked for a"
            f" list; give a pattern, such as {text.rstrip('/')}/train-{{000000..000146}}.tar"
        )
    names = [name for split in info.splits.values() for name in split]
    found = dict(map_threads(store.version, names, min(SMALL_REQUESTS, len(names))))
    return _set_of(store, text, {n: v for n, v in found.items() if v is not None}, info)


def _listed(store: ObjectStore, versions: dict[str, Version], text: str) -> TarSet | None:
    """The tars of a prefix that could be listed; of a pattern, those it names."""
    tars = {name: found for name, found in versions.items() if name.endswith(".tar")}
    if _is_pattern(text):
        begin = len(_folder_of(text)) + 1
        wanted = [url[begin:] for url in _expand(text)]
        missing = [name for name in wanted if name not in tars]
        if missing:
            raise UsageError(f"{store.url}/{missing[0]} is not there ({len(missing)} are missing)")
        tars = {name: tars[name] for name in wanted}
    return _set_of(store, text, tars) if tars else None


def _set_of(
    store: LocalStore | ObjectStore,
    name: str,
    versions: dict[str, Version],
    info: TarInfo | None = None,
) -> TarSet:
    if info is None:
        info = read_info(lambda file: _small(store, file), store.url)
    listed = [file for files in info.splits.values() for file in files]
    others = set(versions) - set(listed)
    if listed and not _is_pattern(name):
        for files, what in (
            (set(listed) - set(versions), "names {}, which is not there"),
            (others, "does not name {}, which is there"),
        ):
            if files:
                raise UsageError(f"{store.url}/{INFO} {what.format(min(files))}")
    if listed and not others:  # all of them, or those that a pattern chose
        chosen = {k: tuple(f for f in files if f in versions) for k, files in info.splits.items()}
        splits = {split: files for split, files in chosen.items() if files}
    else:
        splits = _by_word(versions, name)
    return TarSet(
        store,
        name,
        {
            split: tuple(TarFile(file, *versions[file]) for file in files)
            for split, files in splits.items()
        },
        info,
    )


def _is_pattern(text: str) -> bool:
    return "{" in text or text.endswith(".tar")


def _folder_of(text: str) -> str:
    """The place of all tars of a pattern; what is no pattern is one."""
    return text.partition("{")[0].rpartition("/")[0] if _is_pattern(text) else text


def _small(store: Store, name: str) -> bytes | None:
    with contextlib.suppress(ObjectMissing):
        return b"".join(store.stream(name, count=MAX_BYTES))
    return None


def _by_word(names: Iterable[str], place: str) -> dict[str, tuple[str, ...]]:
    """Tars by the last word of their names that tells a split, such as ``set-train-000.tar``."""
    found: dict[str, list[str]] = {}
    for name in names:
        words = [word for word in re.split(r"[^A-Za-z]+", name) if word.lower() in _WORDS]
        found.setdefault(words[-1] if words else _ALL, []).append(name)
    if _ALL in found and len(found) > 1:
        raise UsageError(
            f"{place}: some tars tell a split by their names and {found[_ALL][0]} does not; give"
            " those to train on by a pattern, and the others by --val-data"
        )
    return {split: tuple(files) for split, files in found.items()}
