"""Figures of a dataset: exact ones of all samples from their index, others from a keyed part."""

from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.archive.label_types.instances import boxes
from fdsl_gen.archive.manifest import Manifest
from fdsl_gen.archive.sample import Sample
from fdsl_gen.core.keys import Key, words
from fdsl_gen.dataset.reader import Dataset, facts_in
from fdsl_gen.dataset.report.measure import MEASURES, measure, near_equal

SHOWN = 24  # images on the page
_COMPARED = 4096  # images at most that are compared with each other: 16 MB, a second
_NOT_PARAMETERS = {"labels", "seed", "annotations", "height", "width"}  # of the keys of a .json


@dataclass
class Report:
    """A dataset in figures.

    Attributes:
        place: folder or URL.
        manifest: of the dataset.
        measured: how many samples were opened.
        columns: figures of them by name, float64 (measured,): ``MEASURES``, and numbers stored with
            images (``metadata``); where there are instances, figures of their boxes.
        words: how often each text stored with images occurs, by name.
        grays: pixels of each gray level in them, int64 (256,).
        per_category: samples of each category, of all samples; empty for scene sets.
        labels: how often each label occurs in the opened samples.
        sample_bytes: mean bytes of the members of all samples, by ending.
        blank: images that show nothing, of all samples.
        near_equal: pairs of nearly equal images among those compared.
        compared: how many of the opened samples were compared with each other.
        mask_area: part of the pixels of each category in the masks of the opened samples.
        shown: some of the opened samples.
    """

    place: str
    manifest: Manifest
    measured: int = 0
    columns: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    words: dict[str, Counter[str]] = field(default_factory=dict)
    grays: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    per_category: Counter[int] = field(default_factory=Counter)
    labels: Counter[int] = field(default_factory=Counter)
    sample_bytes: dict[str, float] = field(default_factory=dict)
    blank: int = 0
    near_equal: int = 0
    compared: int = 0
    mask_area: dict[int, float] = field(default_factory=dict)
    shown: list[Sample] = field(default_factory=list)

    @property
    def num_samples(self) -> int:
        """Of all splits."""
        return sum(split.num_samples for split in self.manifest.splits.values())


def chosen_places(count: int, total: int) -> NDArray[np.int64]:
    """``count`` of ``range(total)`` without repeats, sorted: the least of keyed words decide.

    They depend on nothing but the two numbers, so two datasets of one size are looked at in the
    same places.
    """
    if count >= total:
        return np.arange(total)
    key = Key(0, "report").words
    found: set[int] = set()
    start = 0
    while len(found) < count:
        drawn = words(key, 2 * count, start) % np.uint64(total)
        start += 2 * count
        for place in drawn.tolist():
            if len(found) == count:
                break
            found.add(place)
    return np.array(sorted(found))


def report_of(dataset: Dataset, count: int, tell: Callable[[int], None]) -> Report:
    """Look at a dataset.

    Args:
        dataset: in a folder or in object storage.
        count: how many samples to open; all if there are not so many.
        tell: called with numbers of samples passed.

    Raises:
        Mismatch: if a shard or a sample is damaged.
        StorageError: if the storage does not answer.
    """
    manifest = dataset.manifest
    report = Report(dataset.store.url, manifest)
    report.blank = sum(e.blank for s in manifest.splits.values() for e in s.shards)
    places = chosen_places(count, report.num_samples)
    size = dict.fromkeys(manifest.members, 0)
    opened = _Opened(len(places))
    passed = 0
    for shard in (shard for split in manifest.splits.values() for shard in split.shards):
        index = dataset.index_of(shard)
        for member in manifest.members:
            size[member] += int(index[f"{member}_size"].sum())
        report.per_category.update(_categories(index["key"]))
        low, high = np.searchsorted(places, (passed, passed + shard.samples))
        for row in (places[low:high] - passed).tolist():
            members = dataset.members_at(shard, row, manifest.members)
            key = bytes(index["key"][row]).decode()
            sample = dataset.decode(shard, key, members)
            facts = facts_in(members["json"], shard, key) if "json" in members else {}
            opened.add(sample, facts)
        passed += shard.samples
        tell(shard.samples)
    report.sample_bytes = {name: total / passed for name, total in size.items()}
    opened.write(report)
    return report


def _categories(keys: NDArray[np.bytes_]) -> dict[int, int]:
    """Samples of each category, by the first part of their keys; none for keys of scene sets."""
    found: Counter[int] = Counter()
    for key, times in Counter(bytes(key).partition(b"_")[::2] for key in keys).items():
        category, instance = key
        if instance:
            found[int(category)] += times
    return found


class _Opened:
    """What is found in the samples that are opened, one after another."""

    def __init__(self, count: int) -> None:
        self._shown_every = -(-count // SHOWN)
        self._compared_every = -(-count // _COMPARED)
        self._added = 0
        self._columns = {name: array("d") for name in MEASURES}
        self._grays = np.zeros(256, np.int64)
        self._thumbnails: list[NDArray[np.float32]] = []
        self._numbers: defaultdict[str, array[float]] = defaultdict(lambda: array("d"))
        self._words: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._labels: Counter[int] = Counter()
        self._area: Counter[int] = Counter()
        self._shown: list[Sample] = []

    def add(self, sample: Sample, facts: Mapping[str, Any]) -> None:
        if self._added % self._shown_every == 0:
            self._shown.append(sample)
        measured = measure(sample.image)
        if self._added % self._compared_every == 0:
            self._thumbnails.append(measured.thumbnail)
        self._added += 1
        for name, value in measured.values.items():
            self._columns[name].append(value)
        self._grays += measured.histogram
        for name, value in facts.items():
            if name in _NOT_PARAMETERS:
                continue
            if type(value) in (int, float):
                self._numbers[f"parameter {name}"].append(value)
            else:
                self._words[name][str(value)[:40]] += 1
        self._labels.update(sample.labels)
        if sample.mask is not None:
            counts = np.bincount(sample.mask.ravel())
            self._area.update({int(k): int(counts[k]) for k in np.flatnonzero(counts)})
            if sample.labels:  # of instances
                seen_K4 = boxes(sample.mask, len(sample.labels))
                seen_K4 = seen_K4[seen_K4[:, 2] > 0]
                self._numbers["boxes: instances an image"].append(len(seen_K4))
                for name, column in (("width", 2), ("height", 3)):
                    parts = seen_K4[:, column] / sample.mask.shape[3 - column]
                    self._numbers[f"boxes: {name}, parts of the image"].extend(parts)

    def write(self, report: Report) -> None:
        """Put it into a report."""
        report.measured = self._added
        report.grays = self._grays
        report.compared = len(self._thumbnails)
        report.near_equal = near_equal(np.stack(self._thumbnails))
        report.columns = {name: np.array(values) for name, values in self._columns.items()}
        pixels = max(self._area.total(), 1)
        report.mask_area = {level: n / pixels for level, n in sorted(self._area.items())}
        report.labels, report.shown = self._labels, self._shown
        for name, values in self._numbers.items():
            word = name.removeprefix("parameter ")
            if word in self._words:  # of samples where it is no text
                self._words[word].update(f"{value:.10g}" for value in values)
            else:
                report.columns[name] = np.array(values)
        report.words = dict(self._words)
