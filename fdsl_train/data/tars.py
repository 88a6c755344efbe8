"""From tars of others to samples: which split, what is wrong with it, what its labels mean."""

import contextlib
import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fdsl_gen.archive.paths import LOCK, MANIFEST
from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.locks import locked
from fdsl_gen.core.progress import Progress
from fdsl_gen.core.user_dirs import cache_folder
from fdsl_gen.storage.errors import ObjectMissing
from fdsl_gen.storage.local import LocalStore
from fdsl_gen.storage.objects import ObjectStore
from fdsl_gen.storage.threads import map_threads
from fdsl_train.data.locate.cache import TarObject
from fdsl_train.data.locate.dataset import DatasetLocation
from fdsl_train.data.locate.folder import ShardLocator
from fdsl_train.data.locate.tar_index import TarFile, TarIndex, kept_index, read_index
from fdsl_train.data.locate.tar_names import is_tar_text
from fdsl_train.data.locate.tar_sets import TarSet, find_tars
from fdsl_train.data.sources.webdataset_tars import Classes, TarSource, classes_of

logger = logging.getLogger(__name__)

_THREADS = 8  # that read headers at a time; of remote tars each fetches a whole one
_FAULTS_TOLD = 3


@dataclass(frozen=True, kw_only=True)
class TarOptions:
    """How tars of others are read.

    Attributes:
        label_key: key of ``.json`` members that holds the label; None: ``.cls`` members do, unless
            ``_info.json`` says a key.
        skip_bad: samples that may be left out because something is wrong with them.
    """

    label_key: str | None = None
    skip_bad: int = 0


def tars_at(location: DatasetLocation) -> TarSet | None:
    """The tars of others at a place; None where a dataset of ours, a recipe or something else is.

    Raises:
        UsageError: if what is named can be nothing but tars, and there are none.
    """
    if location.recipe is not None:
        return None
    data = location.data
    named = isinstance(data, str) and is_tar_text(data)
    if isinstance(data, Path):
        if location.is_ours:
            return None
    elif not named:
        store = ObjectStore.at(data, location.storage)
        if any(_holds(store, name) for name in (MANIFEST, LOCK)):
            return None
    found = find_tars(data, location.storage)
    if found is None and named:
        raise UsageError(f"{data} holds no tars")
    return found


def shards_at(location: DatasetLocation) -> TarSet | None:
    """As :func:`tars_at`, where folders of images are not meant.

    Raises:
        UsageError: also if tars stand beside folders.
    """
    found, data = tars_at(location), location.data
    beside = found is None and isinstance(data, Path) and not location.is_ours
    if beside and next(Path(data).glob("*.tar"), None) is not None:
        raise UsageError(
            f"{data} holds tars and folders; name the tars by a pattern, such as"
            f" {data}/train-{{000000..000146}}.tar"
        )
    return found


def _holds(store: ObjectStore, name: str) -> bool:
    """Whether there is a file; asked for a byte of it, since a refusal of that says why."""
    try:
        list(store.stream(name, count=1))
    except ObjectMissing:
        return False
    return True


class LocalTars:
    """Tars of a folder of this machine, a ``ShardLocator``."""

    def __init__(self, folder: Path, tars: Sequence[TarFile]) -> None:
        self._paths = [folder / tar.name for tar in tars]

    def locate(self, shard: int) -> Path:
        """See ``ShardLocator``."""
        return self._paths[shard]

    def prefetch(self, shards: Sequence[int]) -> None:
        """Nothing to do."""

    def read_indexes(self) -> Sequence[bytes | None]:
        """See ``ShardLocator``."""
        return [None] * len(self._paths)


def open_tars(
    found: TarSet,
    split: str,
    location: DatasetLocation,
    options: TarOptions,
    *,
    known: Classes | None = None,
) -> TarSource:
    """A split of tars of others.

    Args:
        found: which tars there are.
        split: one of its splits.
        location: how object storage is reached, and its cache.
        options: how they are read.
        known: the classes of the training part, if this is another part.

    Raises:
        UsageError: if more samples than may be cannot be used, or tars hold what none should.
        StorageError: if the storage does not answer.
    """
    tars = found.splits[split]
    name = f"{found.name} ({split})" if split else found.name
    locator: ShardLocator
    if isinstance(found.store, LocalStore):
        locator = LocalTars(found.store.folder, tars)
    else:
        locator = location.cache(found.store, [TarObject(*tar) for tar in tars])
    key = options.label_key or found.info.label_keys.get(split)
    indexes = _indexes(tars, locator, found.store.url, key, name)
    _check(tars, indexes, found.info.lengths, name, options.skip_bad)
    classes, rows = classes_of(
        indexes,
        found.info.class_names,
        known=known,
        where=name,
        labels_from=f"the labels ({key or '.cls'})",
    )
    return TarSource(name, tars, locator, rows, classes)


def _indexes(
    tars: Sequence[TarFile], locator: ShardLocator, place: str, key: str | None, name: str
) -> list[TarIndex]:
    """The indexes of all tars. Of several processes of a machine one reads the headers."""
    found = [kept_index(tar, place, key) for tar in tars]
    if all(index is not None for index in found):
        return [index for index in found if index is not None]
    folder = cache_folder("tars")
    with contextlib.ExitStack() as stack:
        if folder is not None:
            lock = folder / f"{hashlib.sha256(place.encode()).hexdigest()[:16]}.lock"
            stack.enter_context(locked(lock, progress=lambda: folder.stat().st_mtime_ns))
        began = time.monotonic()
        left = [i for i, index in enumerate(found) if index is None]
        progress = stack.enter_context(Progress("tar"))
        progress.begin(images=len(left), done=0)
        locator.prefetch(left)

        def read(number: int) -> TarIndex:
            return read_index(tars[number], place, key, lambda: locator.locate(number))

        for number, index in map_threads(read, left, min(_THREADS, len(left))):
            found[number] = index
            progress.images(1)
    indexes = [index for index in found if index is not None]
    samples = sum(len(index.rows) for index in indexes)
    logger.info(
        f"{name}: {samples:,} samples in {len(tars):,} tars, whose headers were read in"
        f" {time.monotonic() - began:.1f} s"
    )
    return indexes


def _check(
    tars: Sequence[TarFile],
    indexes: Sequence[TarIndex],
    lengths: Mapping[str, int],
    name: str,
    allowed: int,
) -> None:
    """Refuse a set with more faults than are allowed; tell of those that are."""
    faults: list[str] = []
    count = 0
    for tar, index in zip(tars, indexes, strict=True):
        faults += [f"{tar.name}: {fault}" for fault in index.faults]
        own = index.num_faults
        expected = lengths.get(tar.name)
        held = len(index.rows)
        if expected is not None and expected != held:
            if expected < held:
                raise UsageError(
                    f"{name}: {tar.name} holds {held:,} samples, and _info.json says {expected:,};"
                    " correct one of them"
                )
            if expected - held > own:
                faults.append(f"{tar.name}: holds {held:,} samples, _info.json says {expected:,}")
            own = max(own, expected - held)
        count += own
    if not count:
        return
    told = "; ".join(faults[:_FAULTS_TOLD])
    if count > allowed:
        raise UsageError(
            f"{name}: {count:,} samples or tars cannot be used ({told}); mend them, or leave them"
            f" out with --skip-bad {count}"
        )
    logger.warning(f"{name}: left out {count:,} that cannot be used ({told})")
