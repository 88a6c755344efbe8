"""Datasets by timm's names: ``torch/cifar100`` from torchvision, ``hfds/NAME`` from Hugging Face.

The loader takes samples by number, so of the kinds timm knows only those that can be asked for any
sample are read; ``tfds``, ``wds`` and ``hfids`` are sequences.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fdsl_gen.archive.label_types import SINGLE, LabelType
from fdsl_gen.core import settings
from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.image_files import decode_image, to_8_bits
from fdsl_train.data.holdout import held_out_of
from fdsl_train.data.sources.base import Sample
from fdsl_train.data.sources.image_folder import without_alpha

_BY_NUMBER = ("torch", "hfds")
_IN_SEQUENCE = ("tfds", "wds", "hfids")
_PREFIXES = _BY_NUMBER + _IN_SEQUENCE
_HELD_OUT = ("val", "valid", "validation", "test")  # in the order of preference

# What a library, its download or its cache may raise; the message is the library's.
_TROUBLE = (OSError, ValueError, TypeError, RuntimeError, LookupError, ImportError, AssertionError)


def is_timm_name(data: Path) -> bool:
    """Whether ``--data`` says a name and not a folder; a folder of that name goes first."""
    return len(data.parts) > 1 and data.parts[0] in _PREFIXES and not data.exists()


class NamedSource:
    """Some samples of a dataset that has a name; see ``Source`` for the attributes.

    Args:
        name: timm's name.
        split: of which split.
        dataset: gives a Pillow image and something more for a number.
        labels: of all samples of ``dataset``, 0 <= label.
        class_names: by label, if they are known.
        numbers: which samples to take; None: all.
    """

    label_type: LabelType = SINGLE
    views: NDArray[np.int64] | None = None

    def __init__(
        self,
        name: str,
        split: str,
        dataset: Any,
        labels: list[int],
        class_names: tuple[str, ...] | None,
        numbers: list[int] | None = None,
    ) -> None:
        self.name = f"{name} ({split})"
        self.split = split
        self.class_names = class_names
        self.num_classes = len(class_names) if class_names else max(labels) + 1
        self._dataset = dataset
        self._labels = labels
        self._numbers = list(range(len(labels))) if numbers is None else numbers
        self.shard_sizes: tuple[int, ...] = (len(self._numbers),)
        self.digest = settings.digest([name, split, [[i, labels[i]] for i in self._numbers]])
        self._short_name = name

    def read_sample(self, shard: int, row: int) -> Sample:
        """Sample ``row``; see ``Source``."""
        number = self._numbers[row]
        try:
            return Sample(without_alpha(self._image(number)), self._labels[number])
        except _TROUBLE as error:
            raise UsageError(f"{self.name}: cannot read sample {number}: {error}") from None

    def _image(self, number: int) -> Image.Image:
        if hasattr(self._dataset, "reader"):  # the file itself: timm's own opening believes it all
            with self._dataset.reader[number][0] as file:
                return decode_image(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on odd files
            return to_8_bits(self._dataset[number][0])

    def prefetch(self, shards: Sequence[int]) -> None:
        """Nothing to do: the samples are near."""

    @property
    def unused_split(self) -> str | None:
        """A split to validate on that the dataset has beside this one, if it says so."""
        if self.split in _HELD_OUT:
            return None
        if not hasattr(self._dataset, "reader"):
            return _splits_to_try(Path(self._short_name))[0]
        known = self._dataset.reader.dataset.info.splits or {}
        return next((name for name in _HELD_OUT if name in known), None)

    def divided(self, share: float, seed: int) -> tuple["NamedSource", "NamedSource"]:
        """The samples without ``share`` of every class, and that share."""
        names = self.class_names or [str(label) for label in range(self.num_classes)]
        kept, held = held_out_of(self._labels, share, seed, names)
        return self._part(kept), self._part(held)

    def with_classes_of(self, train: "NamedSource") -> "NamedSource":
        """This split, its labels read as those of the training split.

        Raises:
            UsageError: if the two have other classes.
        """
        if self.class_names != train.class_names:
            raise UsageError(f"the classes of {train.name} and {self.name} differ")
        strangers = set(self._labels) - set(train._labels)
        if self.class_names is None and strangers:
            raise UsageError(f"{self.name} has the label {min(strangers)}, {train.name} has not")
        self.num_classes = train.num_classes  # plain numbers: the highest may be missing here
        return self

    def _part(self, numbers: list[int]) -> "NamedSource":
        return NamedSource(
            self._short_name, self.split, self._dataset, self._labels, self.class_names, numbers
        )


def open_timm_dataset(
    data: Path, split: str | None, *, root: Path | None, download: bool
) -> NamedSource:
    """A split of a named dataset.

    Args:
        data: timm's name.
        split: one that it has; None looks for ``val``, ``valid``, ``validation`` and ``test``, in
            this order.
        root: folder of the files, or of the cache.
        download: fetch what is missing from the net (torchvision; ``datasets`` fetches unasked).

    Raises:
        UsageError: if it is not of a kind that can be read, or cannot be had.
    """
    if data.parts[0] in _IN_SEQUENCE:
        raise UsageError(
            f"{data} can be read in sequence only; --data takes torch/NAME, hfds/NAME or a folder"
        )
    if data.parts[0] == "torch":
        if root is None:
            raise UsageError(f"{data} needs --data-dir, the folder where its files are or will be")
        if data.parts[1] in ("image_folder", "folder"):
            raise UsageError(f"{data} is a folder of images: give {root} itself to --data")
    first, *others = [split] if split else _splits_to_try(data)
    try:
        found = first
        dataset = _create(data, first, root, download)
    except _TROUBLE as error:
        for found in others:
            try:
                dataset = _create(data, found, root, download)
                break
            except _TROUBLE:
                continue
        else:
            raise UsageError(f"cannot open {data}: {_first_line(error)}") from None
    names = _names_of(dataset)
    labels = _labels_of(f"{data} ({found})", dataset, names)
    return NamedSource(str(data), found, dataset, labels, names)


def _splits_to_try(data: Path) -> list[str]:
    """torchvision's small sets have a test split, which timm takes for any name but train."""
    if data.parts[0] == "torch" and data.parts[1].lower() not in ("imagenet", "places365"):
        return ["test"]
    return list(_HELD_OUT)


def _create(data: Path, split: str, root: Path | None, download: bool) -> Any:
    from timm.data.dataset_factory import create_dataset  # PyTorch takes seconds to import

    return create_dataset(
        str(data),
        root=None if root is None else str(root),
        split=split,
        download=download,
        input_img_mode="",  # colors and EXIF are seen to here, the same for all sources
    )


def _labels_of(name: str, dataset: Any, names: tuple[str, ...] | None) -> list[int]:
    """All labels, without decoding an image.

    Raises:
        UsageError: if some samples have none, or what is no number of a class.
    """
    try:
        if hasattr(dataset, "targets"):
            labels = list(dataset.targets)
        elif hasattr(dataset, "reader"):
            labels = list(dataset.reader.iter_targets())
        else:
            raise UsageError(f"{name} does not list its labels; write it as folders of images")
    except _TROUBLE as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{name}: cannot read the labels: {_first_line(error)}") from None
    for label in labels:
        if label is not None and (isinstance(label, bool) or not hasattr(label, "__index__")):
            raise UsageError(f"{name}: the label {label!r} is not an integer")
    missing = sum(label is None or int(label) < 0 for label in labels)
    if missing:
        raise UsageError(
            f"{name}: {missing} of {len(labels)} samples have no label (-1, or none at all); take"
            " another split with --split, or --val-split to hold out a share of train"
        )
    if not labels:
        raise UsageError(f"{name} has no samples")
    if names is not None and max(labels) >= len(names):
        raise UsageError(f"{name}: the label {max(labels)} is none of its {len(names)} classes")
    return [int(label) for label in labels]


def _names_of(dataset: Any) -> tuple[str, ...] | None:
    """Names of the classes; ImageNet has several for each, the first of them is usual."""
    if hasattr(dataset, "classes"):
        return tuple(name if isinstance(name, str) else name[0] for name in dataset.classes)
    indices: dict[str, int] = dataset.reader.class_to_idx
    return tuple(sorted(indices, key=indices.__getitem__)) or None


def _first_line(error: BaseException) -> str:
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return line.replace("You can use download=True to download it", "--download fetches it")
