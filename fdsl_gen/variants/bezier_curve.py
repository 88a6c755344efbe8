"""BezierCurve: gray Bezier curves, labeled by their number and degree.

One of the sets that FractalDB was compared with: Kataoka et al., "Pre-training without Natural
Images", ACCV 2020 and IJCV 2022, arXiv 2101.08515. The category is how many curves there are and
how many control points each has, out of a square grid of such pairs.

Ours, since no code was released: everything but that idea. Category c has c mod G + 1 curves of
c div G + 3 control points, G being the side of the grid; control points are uniform over the
canvas, grays U{1..255}; curves are polylines one pixel wide, of pieces of at most 4 pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fdsl_gen.core.errors import RenderError
from fdsl_gen.core.keys import Key, Stream
from fdsl_gen.core.settings import setting
from fdsl_gen.geometry.category_table import Column, Row, Rows, TableLayout
from fdsl_gen.kernels.bezier import draw_curve, sample_points
from fdsl_gen.variants._citations import KATAOKA_2022_PRETRAINING
from fdsl_gen.variants._parametric import Parametric
from fdsl_gen.variants.base import Category, ImageSpec, Job, Rendered

_FEWEST_POINTS = 3  # two are a straight line


@dataclass(frozen=True, slots=True)
class Curves(Category):
    """A category: number of curves, and of control points of each."""

    num_curves: int
    num_points: int


@dataclass(frozen=True, kw_only=True)
class BezierCurve(Parametric):
    """Settings of BezierCurve."""

    KIND: ClassVar[str] = "bezier-curve"
    CITATION: ClassVar[str] = KATAOKA_2022_PRETRAINING
    TABLE: ClassVar[TableLayout] = TableLayout(
        (
            Column("num_curves", "curves of an image", "int", 1, 10_000),
            Column("num_points", "control points of a curve", "int", _FEWEST_POINTS - 1, 100),
        )
    )

    image_size: int = setting(362, doc="side of the image, pixels", low=16, high=8192)
    grid_size: int = setting(12, doc="numbers along each axis of the grid", low=1, high=64)

    @property
    def image(self) -> ImageSpec:
        return ImageSpec(height=self.image_size, width=self.image_size)

    def nominal_bytes(self, num_categories: int) -> int:
        """Measured at 362 pixels: 5.8 kB with a grid of 12, 11.4 kB with one of 32."""
        return int(1_600 + 0.074 * self.grid_size**0.852 * self.image_size**1.5)

    def sample_category(self, index: int, key: Key) -> Curves:
        side = self.grid_size
        if index >= side * side:
            raise RenderError(
                f"a grid of {side} has {side * side} categories, no number {index};"
                " give more grid_size or fewer num_categories"
            )
        return Curves(index, key, index % side + 1, index // side + _FEWEST_POINTS)

    def category_rows(self, category: Curves) -> Sequence[Row]:
        return [{"num_curves": category.num_curves, "num_points": category.num_points}]

    def category_of_rows(self, index: int, key: Key, rows: Rows) -> Curves:
        return Curves(index, key, int(rows[0]["num_curves"]), int(rows[0]["num_points"]))

    def render_one(self, job: Job) -> Rendered:
        curves: Curves = job.category
        side = self.image_size
        image = np.zeros((side, side), np.uint8)
        grays = Stream(job.key.derive(f"{job.key.role} gray", *job.key.indices))
        point_M2 = np.empty((curves.num_points, 2))
        words = job.key.words  # each curve takes words of its own from the one stream
        for k in range(curves.num_curves):
            start = np.uint64(2 * curves.num_points * k)
            sample_points(words, start, float(side), point_M2)
            value = np.uint8(grays.integer(1, 255))
            draw_curve(point_M2, value, side, image.reshape(-1))
        facts = {"num_curves": curves.num_curves, "num_control_points": curves.num_points}
        return Rendered(image, parameters=facts)
