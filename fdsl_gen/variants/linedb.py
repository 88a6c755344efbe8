"""LineDB: straight lines, to be counted.

The control set of Kataoka et al., "Replacing Labeled Real-image Datasets with Auto-generated
Contours", CVPR 2022, arXiv 2206.09132: gray lines at random places, the category is their number.
With ``shuffle_labels`` the labels say nothing, and training must stay at the level of noise.

Ours: everything but that idea, since no code was released: first category and step, end points
uniform over the canvas, grays U{1..255}, width 1, and labels that stay balanced when shuffled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.core.keys import Key, permutation
from fdsl_gen.core.settings import check_ranges, setting
from fdsl_gen.geometry.category_table import Column, Row, Rows, TableLayout
from fdsl_gen.kernels.line import draw_segments
from fdsl_gen.kernels.scatter import sample_integers, scatter_segments
from fdsl_gen.variants._citations import KATAOKA_2022_REPLACING
from fdsl_gen.variants._parametric import Parametric
from fdsl_gen.variants.base import Category, ImageSpec, Job, Rendered


@lru_cache(maxsize=64)
def _shuffled(seed: int, instance: int, num_categories: int) -> NDArray[np.int64]:
    """The label of every category in this instance, int64 (C,)."""
    return permutation(Key(seed, "label", (instance,)), num_categories)


@dataclass(frozen=True, slots=True)
class Lines(Category):
    """A category: a number of lines."""

    num_lines: int


@dataclass(frozen=True, kw_only=True)
class LineDb(Parametric):
    """Settings of LineDB."""

    KIND: ClassVar[str] = "linedb"
    CITATION: ClassVar[str] = KATAOKA_2022_REPLACING
    TABLE: ClassVar[TableLayout] = TableLayout(
        (Column("num_lines", "lines of an image", "int", 0, 10_000_000),)
    )

    image_size: int = setting(512, doc="side of the image, pixels", low=16, high=8192)
    lines_min: int = setting(1, doc="lines in an image of category 0", low=0, high=1_000_000)
    lines_step: int = setting(1, doc="lines more from category to category", low=0, high=10_000)
    gray_min: int = setting(1, doc="least gray of a line", low=0, high=255)
    gray_max: int = setting(255, doc="greatest gray of a line", low=0, high=255)
    shuffle_labels: bool = setting(
        False, doc="give every instance a random permutation of the labels (control)"
    )

    def __post_init__(self) -> None:
        check_ranges(self, ("gray",))

    @property
    def uses_num_categories(self) -> bool:
        """Labels are permuted among all categories."""
        return self.shuffle_labels

    @property
    def image(self) -> ImageSpec:
        return ImageSpec(height=self.image_size, width=self.image_size)

    def nominal_bytes(self, num_categories: int) -> int:
        """Measured with 1,000 categories: 99 kB at 512 pixels, 36 kB at 256; with 16, 6 kB."""
        mean_lines = self.lines_min + self.lines_step * (num_categories - 1) / 2
        return int(1_600 + 870 * mean_lines**0.76 * (self.image_size / 512) ** 1.5)

    def sample_category(self, index: int, key: Key) -> Lines:
        return Lines(index, key, self.lines_min + index * self.lines_step)

    def category_rows(self, category: Lines) -> Sequence[Row]:
        return [{"num_lines": category.num_lines}]

    def category_of_rows(self, index: int, key: Key, rows: Rows) -> Lines:
        return Lines(index, key, int(rows[0]["num_lines"]))

    def render_one(self, job: Job) -> Rendered:
        lines: Lines = job.category
        side = self.image_size
        segment_M4 = np.empty((lines.num_lines, 4), np.int64)
        scatter_segments(job.key.words, np.array([side, side], np.float64), segment_M4)
        gray_M = np.empty(lines.num_lines, np.int64)
        # A role is part of its key: spelled otherwise, it would draw other grays.
        shades = job.key.derive(f"{job.key.role} grey", *job.key.indices)
        sample_integers(shades.words, 0, self.gray_max - self.gray_min, gray_M)
        image = np.zeros((side, side), np.uint8)
        value_M = (gray_M + self.gray_min).astype(np.uint8)
        draw_segments(segment_M4, value_M, side, image.reshape(-1))
        labels = None
        if self.shuffle_labels:
            label = _shuffled(job.key.seed, job.instance, job.num_categories)[lines.index]
            labels = (int(label),)
        return Rendered(image, labels=labels, parameters={"num_lines": lines.num_lines})
