"""SegRCDB: many radial contours in an image, with a semantic mask.

Shinoda et al., "SegRCDB: Semantic Segmentation via Formula-Driven Supervised Learning", ICCV 2023.
A category is the shape of a figure. An image holds figures of random categories in random places,
later ones over earlier ones. In masks, category c stands as c + 1 and the background as 0.

The rules are those of the released generator, the three kinds of mask included: ``M1`` the lines
themselves; ``M2`` the area between the first and the last contour, where there are two, with both
outlines (emptying the first contour empties what earlier figures put there, too); ``M3`` the area
of the last contour.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.archive.label_types import SEGMENTATION, LabelType
from fdsl_gen.core.keys import Key, Stream, category_key
from fdsl_gen.core.settings import setting
from fdsl_gen.geometry.category_table import Row, Rows, TableLayout
from fdsl_gen.geometry.contour import (
    Shape,
    ellipse,
    grays,
    grown,
)
from fdsl_gen.kernels.line import draw_polygons
from fdsl_gen.kernels.polygon import fill_polygon
from fdsl_gen.variants._citations import SHINODA_2023_SEGRCDB
from fdsl_gen.variants._contours import (
    ELLIPSE_COLUMNS,
    SHAPE_COLUMNS,
    RadialFigureSettings,
    draw_contours,
    ellipse_of,
    ellipse_row,
    shape_of,
    shape_row,
)
from fdsl_gen.variants.base import Category, Job, Rendered

_WHITE = 255


@dataclass(frozen=True, slots=True)
class Figure(Category):
    """A category: its contours and the ellipse they begin with."""

    shape: Shape
    num_contours: int
    radius: int
    oval_rates: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class SegRcdb(RadialFigureSettings):
    """Settings of SegRCDB."""

    KIND: ClassVar[str] = "segrcdb"
    SCENE: ClassVar[bool] = True
    LABEL_TYPE: ClassVar[LabelType] = SEGMENTATION
    CITATION: ClassVar[str] = SHINODA_2023_SEGRCDB
    TABLE: ClassVar[TableLayout] = TableLayout(SHAPE_COLUMNS + ELLIPSE_COLUMNS)

    num_vertices_max: int = setting(500, doc="most vertices of a contour", low=3, high=100_000)
    num_contours_max: int = setting(50, doc="most contours of a figure", low=1, high=10_000)
    radius_max: int = setting(50, doc="greatest radius, pixels at size 512", low=0, high=10_000)
    center_spread: int = setting(
        512,
        doc="centers are (512 + U{-spread..spread}) / 2, pixels at size 512",
        low=0,
        high=10_000,
    )
    num_objects: int = setting(32, doc="figures in an image", low=1, high=10_000)
    mask: Literal["M1", "M2", "M3"] = setting(
        "M1", doc="what the mask shows: lines, area between first and last contour, filled area"
    )

    def nominal_bytes(self, num_categories: int) -> int:
        """Measured, image and mask M1: 236 kB at 512 pixels, 62 kB at 256."""
        return int(3_200 + 20.0 * self.image_size**1.5)

    def sample_category(self, index: int, key: Key) -> Figure:
        stream = Stream(key)
        shape, num_contours = self.sample_figure(stream)
        radius = stream.integer(self.radius_min, self.radius_max)
        return Figure(index, key, shape, num_contours, radius, self.sample_oval_rates(stream))

    def category_rows(self, category: Figure) -> Sequence[Row]:
        row = shape_row(category.shape, category.num_contours)
        return [row | ellipse_row(category.radius, category.oval_rates)]

    def category_of_rows(self, index: int, key: Key, rows: Rows) -> Figure:
        return Figure(index, key, *shape_of(rows[0]), *ellipse_of(rows[0]))

    def render_one(self, job: Job) -> Rendered:
        draw = self._draw_with_lines if self.mask == "M1" else self._draw_with_areas
        image, mask = draw(job)
        return Rendered(image, mask, parameters={"num_objects": self.num_objects})

    def _placed(self, job: Job) -> Iterator[tuple[Figure, Key, Iterator[NDArray[np.int32]]]]:
        """The figures of an image, their keys and the pixels of their contours."""
        for number in range(self.num_objects):
            stream = Stream(job.key.derive("image object", *job.key.indices, number))
            index = stream.integer(0, job.num_categories - 1)
            figure = _figure(self, category_key(job.key.seed, index))
            center = self.sample_center(stream, self.center_spread)
            key = job.key.derive("image figure", *job.key.indices, number)
            point_2Q = ellipse(figure.shape, self.scale, figure.radius, figure.oval_rates)
            point_2Q += np.array(center)[:, None]  # from the start on: rounding depends on it
            no_shift = (0.0, 0.0)
            contours = grown(figure.shape, self.scale, key, point_2Q, no_shift, figure.num_contours)
            yield figure, key, contours

    def _draw_with_lines(self, job: Job) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Image and mask of the same lines, drawn together: the mask is the upper byte."""
        both = np.zeros((self.image_size, self.image_size), np.uint16)
        for figure, key, contours in self._placed(job):
            gray_K = grays(key, figure.num_contours, _WHITE)
            draw_contours(contours, (gray_K + (figure.index + 1 << 8)).astype(np.uint16), both)
        return (both & 255).astype(np.uint8), (both >> 8).astype(np.uint8)

    def _draw_with_areas(self, job: Job) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Image, and mask of the areas that its contours enclose."""
        image, mask = self.blank(), self.blank()
        flat, side = mask.reshape(-1), self.image_size
        for figure, key, contours in self._placed(job):
            blocks = list(contours)
            first, last = blocks[0][:1], blocks[-1][-1:]
            draw_contours(blocks, grays(key, figure.num_contours, _WHITE).astype(np.uint8), image)
            value = np.array([figure.index + 1], np.uint8)
            if self.mask == "M3":
                fill_polygon(last[0], value[0], side, flat)
            elif figure.num_contours > 1:
                fill_polygon(last[0], value[0], side, flat)
                fill_polygon(first[0], np.uint8(0), side, flat)
                draw_polygons(last, value, side, flat)
                draw_polygons(first, value, side, flat)
        return image, mask


@lru_cache(maxsize=256)
def _figure(settings: SegRcdb, key: Key) -> Figure:
    figure: Figure = settings.category(key.indices[0], key)
    return figure
