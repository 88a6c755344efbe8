"""Datasets by timm's names: ``torch/cifar100`` from torchvision, ``hfds/NAME`` from Hugging Face.

The loader takes samples by number, so of the kinds timm knows only those that can be asked for any
sample are read; ``tfds``, ``wds`` and ``hfids`` are sequences.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from timm.data.dataset_factory import create_dataset

from fdsl_gen.core import settings
from fdsl_gen.core.errors import UsageError
from fdsl_train.data.holdout import held_out_of
from fdsl_train.data.sources.base import Sample
from fdsl_train.data.sources.image_folder import upright_rgb

_BY_NUMBER = ("torch", "hfds")
_IN_SEQUENCE = ("tfds", "wds", "hfids")
_PREFIXES = _BY_NUMBER + _IN_SEQUENCE
_HELD_OUT = ("val", "validation", "test")  # in the order of preference

# What a library, its download or its cache may raise; the message is the library's.
_TROUBLE = (OSError, ValueError, TypeError, RuntimeError, LookupError, ImportError, AssertionError)


def is_named(data: Path) -> bool:
    """Whether ``--data`` says a name and not a folder; a folder of that name goes first."""
    return len(data.parts) > 1 and data.parts[0] in _PREFIXES and not data.exists()


class NamedSource:
    """Some samples of a dataset that has a name; see ``Source`` for the attributes.

    Args:
        name: timm's name.
        split: of which split.
        dataset: gives a Pillow image and something more for a number.
        labels: of all samples of ``dataset``.
        class_names: by label, if they are known.
        numbers: which samples to take; None: all.
    """

    labels: Literal["single", "multi"] = "single"
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

    def take(self, shard: int, row: int) -> Sample:
        """Sample ``row``; see ``Source``."""
        number = self._numbers[row]
        try:
            image: Image.Image = self._dataset[number][0]
            file = getattr(image, "fp", None)
            sample = Sample(upright_rgb(image), self._labels[number])
            if file is not None:  # opened by timm, which leaves closing to chance
                file.close()
            return sample
        except _TROUBLE as error:
            raise UsageError(f"{self.name}: cannot read sample {number}: {error}") from None

    def prefetch(self, shards: Sequence[int]) -> None:
        """Nothing to do: the samples are near."""

    def divided(self, share: float, seed: int) -> tuple["NamedSource", "NamedSource"]:
        """The samples without ``share`` of every class, and that share."""
        names = self.class_names or [str(label) for label in range(self.num_classes)]
        kept, held = held_out_of(self._labels, share, seed, names)
        return self._part(kept), self._part(held)

    def _part(self, numbers: list[int]) -> "NamedSource":
        return NamedSource(
            self._short_name, self.split, self._dataset, self._labels, self.class_names, numbers
        )


def open_named(data: Path, split: str | None, *, root: Path | None, download: bool) -> NamedSource:
    """A split of a named dataset.

    Args:
        data: timm's name.
        split: one that it has; None looks for ``val``, ``validation`` and ``test``, in this order.
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
    labels = _labels_of(data, dataset)
    return NamedSource(str(data), found, dataset, labels, _names_of(dataset))


def _splits_to_try(data: Path) -> list[str]:
    """torchvision's small sets have a test split, which timm takes for any name but train."""
    if data.parts[0] == "torch" and data.parts[1].lower() not in ("imagenet", "places365"):
        return ["test"]
    return list(_HELD_OUT)


def _create(data: Path, split: str, root: Path | None, download: bool) -> Any:
    return create_dataset(
        str(data),
        root=None if root is None else str(root),
        split=split,
        download=download,
        input_img_mode="",  # colours and EXIF are seen to here, the same for all sources
    )


def _labels_of(data: Path, dataset: Any) -> list[int]:
    """All labels, without decoding an image."""
    if hasattr(dataset, "targets"):
        return [int(label) for label in dataset.targets]
    if hasattr(dataset, "reader"):
        return [int(label) for label in dataset.reader.iter_targets()]
    raise UsageError(f"{data} does not list its labels; write it as folders of images")


def _names_of(dataset: Any) -> tuple[str, ...] | None:
    """Names of the classes; ImageNet has several for each, the first of them is usual."""
    if hasattr(dataset, "classes"):
        return tuple(name if isinstance(name, str) else name[0] for name in dataset.classes)
    indices: dict[str, int] = dataset.reader.class_to_idx
    return tuple(sorted(indices, key=indices.__getitem__)) or None


def _first_line(error: BaseException) -> str:
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return line.replace("You can use download=True to download it", "--download fetches it")
