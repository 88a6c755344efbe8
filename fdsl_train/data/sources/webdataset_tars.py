"""WebDataset shards of others: tars without a manifest, one sample at a time by byte offset.

What the headers show is checked when a set is opened, and nothing is left out in silence; what
stands inside images is seen when they are read, as for all sources.
"""

import io
import logging
import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.archive.label_types import SINGLE, LabelType
from fdsl_gen.core import settings
from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.image_files import decode_image
from fdsl_train.data.holdout import held_out_of
from fdsl_train.data.locate.folder import ShardLocator
from fdsl_train.data.locate.tar_headers import DamagedTar, TarBytes, members, shown
from fdsl_train.data.locate.tar_index import TarFile, TarIndex
from fdsl_train.data.sources.base import Sample
from fdsl_train.data.sources.image_folder import without_alpha

logger = logging.getLogger(__name__)

_OPEN_TARS = 64  # kept open at a time; an order touches 16, and 1,024 is a common limit of files


@dataclass(frozen=True)
class Classes:
    """What labels mean.

    Attributes:
        names: by label; None where labels are plain numbers.
        count: labels are below it.
        sorted: whether the names are labels that are texts, counted in their order.
    """

    names: tuple[str, ...] | None
    count: int
    sorted: bool = False


class TarSource:
    """Samples of tars of others; see ``Source`` for the attributes.

    Opened files stay with the process that opened them: a pickled copy opens its own.

    Args:
        name: how messages call the set.
        tars: those that samples are in.
        locator: where their files are.
        rows: of each tar (``tar_index.ROW``), labels as in ``classes``; some may have none.
        classes: what labels mean.
    """

    label_type: LabelType = SINGLE
    views: NDArray[np.int64] | None = None

    def __init__(
        self,
        name: str,
        tars: Sequence[TarFile],
        locator: ShardLocator,
        rows: Sequence[NDArray[np.void]],
        classes: Classes,
    ) -> None:
        self.name = name
        self.classes = classes
        self.class_names = classes.names
        self.num_classes = classes.count
        self._tars = tuple(tars)
        self._locator = locator
        # An order has no place for a shard without samples.
        self._tar_of = [tar for tar, own in enumerate(rows) if len(own)]
        self.shard_sizes: tuple[int, ...] = tuple(len(rows[tar]) for tar in self._tar_of)
        self._starts = list(accumulate(self.shard_sizes, initial=0))
        self._rows = np.concatenate([rows[tar] for tar in self._tar_of])
        self.digest = settings.digest(
            {
                "classes": [classes.count, list(classes.names or ())],
                "tars": [[Path(tars[tar].name).name, tars[tar].size] for tar in self._tar_of],
                "samples": TarIndex(self._rows).digest,
                "sizes": list(self.shard_sizes),
            }
        )
        self._open: OrderedDict[int, int] = OrderedDict()

    def read_sample(self, shard: int, row: int) -> Sample:
        """Sample ``row`` of tar ``shard``; see ``Source``."""
        entry = self._rows[self._starts[shard] + row]
        offset, size = int(entry["offset"]), int(entry["size"])
        try:
            data = os.pread(self._file(shard), size, offset)
        except OSError as error:
            raise UsageError(f"{self._where(shard, offset)}: {error.strerror}") from None
        if len(data) < size:
            raise UsageError(f"{self._where(shard, offset)}: the tar is cut short there")
        try:
            image = decode_image(io.BytesIO(data))
        except ValueError as error:
            raise UsageError(
                f"{self._where(shard, offset)}: the image cannot be read: {error}"
            ) from None
        return Sample(without_alpha(image), int(entry["label"]))

    def prefetch(self, shards: Sequence[int]) -> None:
        """See ``Source``."""
        self._locator.prefetch([self._tar_of[shard] for shard in shards])

    def divided(self, share: float, seed: int) -> tuple["TarSource", "TarSource"]:
        """The samples without ``share`` of every class, and that share.

        Raises:
            UsageError: if a class has one sample only.
        """
        names = self.class_names or [str(label) for label in range(self.num_classes)]
        kept, held = held_out_of(self._rows["label"].tolist(), share, seed, names)
        return self._part(self.name, kept), self._part(f"{self.name} (held out)", held)

    def _part(self, name: str, numbers: list[int]) -> "TarSource":
        chosen = np.zeros(len(self._rows), bool)
        chosen[numbers] = True
        rows: list[NDArray[np.void]] = [np.empty(0, self._rows.dtype)] * len(self._tars)
        for shard, tar in enumerate(self._tar_of):
            own = slice(self._starts[shard], self._starts[shard + 1])
            rows[tar] = self._rows[own][chosen[own]]
        return TarSource(name, self._tars, self._locator, rows, self.classes)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": OrderedDict()}

    def _file(self, shard: int) -> int:
        file = self._open.get(shard)
        if file is None:
            tar = self._tar_of[shard]
            path = self._locator.locate(tar)
            try:
                file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise UsageError(f"cannot read {path}: {error.strerror}") from None
            self._open[shard] = file
            length = os.fstat(file).st_size
            if length != self._tars[tar].size:
                raise UsageError(
                    f"{path} has {length:,} bytes instead of {self._tars[tar].size:,}: it was"
                    " changed; run the same command again"
                )
            if len(self._open) > _OPEN_TARS:
                os.close(self._open.popitem(last=False)[1])
        self._open.move_to_end(shard)
        return file

    def _where(self, shard: int, offset: int) -> str:
        """The tar and the member that begins at a byte; its name is looked for only now."""
        name = self._tars[self._tar_of[shard]].name
        try:
            for member in members(TarBytes(self._file(shard), name)):
                if member.offset == offset:
                    return f"{name}, {shown(member.name)}"
        except (DamagedTar, OSError, UsageError):
            pass
        return f"{name}, the image at byte {offset:,}"


def classes_of(
    indexes: Sequence[TarIndex],
    names: tuple[str, ...] | None,
    *,
    known: Classes | None,
    where: str,
    labels_from: str,
) -> tuple[Classes, list[NDArray[np.void]]]:
    """What the labels of a set mean, and its rows with labels by that.

    Args:
        indexes: of all its tars.
        names: by label, if something beside the tars says them.
        known: the classes of the training part, for another part.
        where: the set, for messages.
        labels_from: what holds the labels, for messages.

    Raises:
        UsageError: if labels are of several kinds, or are none of the classes.
    """
    filled = [index for index in indexes if len(index.rows)]
    if not filled:
        raise UsageError(f"{where} holds no samples that can be used")
    texts = bool(filled[0].names)
    if any(bool(index.names) != texts for index in filled):
        raise UsageError(f"{where}: {labels_from} are numbers in some tars and texts in others")
    if known is not None and known.names is not None:
        names = known.names
    if not texts:
        highest = max(int(index.rows["label"].max()) for index in filled)
        count = known.count if known is not None else len(names) if names else highest + 1
        if highest >= count:
            raise UsageError(
                f"{where} has the label {highest}, but there are {count} classes; the classes are"
                f" {_origin(known, names)}"
            )
        return Classes(names, count), [index.rows for index in indexes]
    own = sorted({name for index in filled for name in index.names})
    sorted_here = known.sorted if known is not None else names is None
    classes = Classes(names or tuple(own), len(names or own), sorted_here)
    label_of = {name: label for label, name in enumerate(classes.names or ())}
    strangers = [name for name in own if name not in label_of]
    if strangers:
        raise UsageError(
            f"{where} has the label {shown(strangers[0])}, which is none of the {classes.count}"
            f" classes; the classes are {_origin(known, names)}"
        )
    return classes, [_renamed(index, label_of) for index in indexes]


def _origin(known: Classes | None, names: tuple[str, ...] | None) -> str:
    if known is not None:
        return "those of the training part"
    return "named beside the tars" if names else "those that occur"


def _renamed(index: TarIndex, label_of: dict[str, int]) -> NDArray[np.void]:
    rows = index.rows.copy()
    if len(rows):
        rows["label"] = np.array([label_of[name] for name in index.names], np.int32)[rows["label"]]
    return rows
