"""Dead leaves: overlapping shapes of all sizes, as pictures to mix with.

Baradad, Wulff, Wang, Torralba and Isola, "Learning to See by Looking at Noise", NeurIPS 2021, arXiv
2106.05963: shapes at random places whose radii have density r^-3, one over another until the canvas
is full. There the set has no labels; here a category is a family of shapes and a least radius.

Ours: category c has family c mod 4 (discs, upright squares, turned rectangles, all of them) and a
least radius of radius_min (1 + c div 4) pixels; radii are 1,024 quantiles of the law; colors are
uniform; at most ``leaves_max`` leaves, what they leave uncovered stays black.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.keys import Key
from fdsl_gen.core.settings import setting
from fdsl_gen.geometry.category_table import Column, Row, Rows, TableLayout
from fdsl_gen.kernels.leaves import draw_leaves
from fdsl_gen.variants._citations import BARADAD_2021_NOISE
from fdsl_gen.variants._parametric import Parametric
from fdsl_gen.variants.base import Category, ImageSpec, Job, Rendered

_FAMILIES = 4
_QUANTILES = 1024


@dataclass(frozen=True, slots=True)
class Leaves(Category):
    """A category: family of shapes, and least radius in pixels."""

    family: int
    radius: float


@dataclass(frozen=True, kw_only=True)
class DeadLeaves(Parametric):
    """Settings of the dead leaves."""

    KIND: ClassVar[str] = "dead-leaves"
    CITATION: ClassVar[str] = BARADAD_2021_NOISE
    TABLE: ClassVar[TableLayout] = TableLayout(
        (
            Column(
                "family", "discs, upright squares, turned rectangles, all", "int", 0, _FAMILIES - 1
            ),
            Column("radius", "least radius, pixels", low=0.5, high=4096.0),
        )
    )

    image_size: int = setting(224, doc="side of the image, pixels", low=16, high=4096)
    radius_min: float = setting(
        2.0, doc="least radius of the first categories, pixels", low=0.5, high=1000.0
    )
    radius_max: float = setting(112.0, doc="greatest radius, pixels", low=0.5, high=4096.0)
    leaves_max: int = setting(50_000, doc="most leaves of an image", low=1, high=10_000_000)

    def __post_init__(self) -> None:
        if self.radius_min > self.radius_max:
            raise UsageError(
                f"radius_min: must be at most radius_max ({self.radius_max:g}),"
                f" not {self.radius_min:g}"
            )

    @property
    def image(self) -> ImageSpec:
        return ImageSpec(height=self.image_size, width=self.image_size, channels=3)

    def nominal_bytes(self, num_categories: int) -> int:
        """Measured with 64 categories: 9 kB at 224 pixels."""
        return 1_600 + self.image_size**2 // 7

    def sample_category(self, index: int, key: Key) -> Leaves:
        radius = min(self.radius_min * (1 + index // _FAMILIES), self.radius_max)
        return Leaves(index, key, index % _FAMILIES, radius)

    def category_rows(self, category: Leaves) -> Sequence[Row]:
        return [{"family": category.family, "radius": category.radius}]

    def category_of_rows(self, index: int, key: Key, rows: Rows) -> Leaves:
        return Leaves(index, key, int(rows[0]["family"]), min(rows[0]["radius"], self.radius_max))

    def render_one(self, job: Job) -> Rendered:
        leaves: Leaves = job.category
        # A law of density r^-3 has 1 / r^2 uniform between its ends.
        low, high = 1.0 / self.radius_max**2, 1.0 / leaves.radius**2
        part_T = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
        radius_T = 1.0 / np.sqrt(low + (high - low) * part_T)
        image = np.empty((self.image_size, self.image_size, 3), np.uint8)
        count = draw_leaves(job.key.words, leaves.family, radius_T, self.leaves_max, image)
        return Rendered(image, parameters={"num_leaves": count, "least_radius": leaves.radius})
