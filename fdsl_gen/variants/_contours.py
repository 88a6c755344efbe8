"""What the datasets of radial contours share: settings, draws of a figure, drawing it.

Ours: lengths in these settings belong to images of 512 pixels and grow with ``image_size``.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.core.keys import Key, Stream
from fdsl_gen.core.settings import check_ranges, setting
from fdsl_gen.geometry.category_table import Column, Row, Rows, TableLayout
from fdsl_gen.geometry.contour import FRAME, Shape, check_vertex_range, exponential_count
from fdsl_gen.kernels.line import draw_polygons
from fdsl_gen.variants._parametric import Parametric
from fdsl_gen.variants.base import Category, ImageSpec

NOISE_GAIN = 2.0  # of radial contours, as released
SHAPE_COLUMNS = (
    Column("num_vertices", "vertices of a contour", "int", 3, 100_000),
    Column("num_contours", "contours, each outside the one before", "int", 1, 10_000),
    Column("noise_coefficient", "factor of the noise, pixels at size 512", low=0.0, high=100.0),
    Column("ring_offset", "push from contour to contour, pixels at size 512", low=0.0, high=100.0),
)
ELLIPSE_COLUMNS = (
    Column("radius", "of the ellipse that it begins with, pixels at size 512", "int", 0, 10_000),
    Column("oval_rate_x", "stretch of the ellipse across", low=0.0, high=100.0),
    Column("oval_rate_y", "stretch of the ellipse down", low=0.0, high=100.0),
)


@dataclass(frozen=True, kw_only=True)
class RadialSettings(Parametric):
    """Settings that all datasets of radial contours have."""

    image_size: int = setting(512, doc="side of the image, pixels", low=16, high=8192)
    noise_coefficient_min: float = setting(
        0.0, doc="least factor of the noise, pixels at size 512", low=0.0, high=100.0
    )
    noise_coefficient_max: float = setting(
        4.0, doc="greatest factor of the noise, pixels at size 512", low=0.0, high=100.0
    )
    ring_offset_min: float = setting(
        0.0,
        doc="least push outwards from contour to contour, pixels at size 512",
        low=0.0,
        high=100,
    )
    ring_offset_max: float = setting(
        0.1, doc="greatest push outwards, pixels at size 512", low=0.0, high=100.0
    )
    oval_rate_min: float = setting(1.0, doc="least stretch of an axis", low=0.0, high=100.0)
    oval_rate_max: float = setting(2.0, doc="greatest stretch of an axis", low=0.0, high=100.0)

    def __post_init__(self) -> None:
        lowest = [f.name for f in dataclasses.fields(self) if f.name.endswith("_min")]
        check_ranges(self, [name.removesuffix("_min") for name in lowest])

    @property
    def image(self) -> ImageSpec:
        return ImageSpec(height=self.image_size, width=self.image_size)

    @property
    def scale(self) -> float:
        """Pixels of the image for a pixel of the settings."""
        return self.image_size / FRAME

    def sample_noise(self, stream: Stream) -> tuple[float, float]:
        """Noise coefficient and ring offset of a category, drawn in this order."""
        noise = stream.uniform(self.noise_coefficient_min, self.noise_coefficient_max)
        return noise, stream.uniform(self.ring_offset_min, self.ring_offset_max)

    def sample_oval_rates(self, stream: Stream) -> tuple[float, float]:
        """Stretch of the two axes."""
        low, high = self.oval_rate_min, self.oval_rate_max
        return stream.uniform(low, high), stream.uniform(low, high)

    def sample_center(self, stream: Stream, spread: int) -> tuple[float, float]:
        """A place (512 + U{-spread..spread}) / 2 on each axis, in pixels of the image."""
        x, y = stream.integer(-spread, spread), stream.integer(-spread, spread)
        return (FRAME + x) / 2 * self.scale, (FRAME + y) / 2 * self.scale

    def blank(self, gray: int = 0) -> NDArray[np.uint8]:
        """An empty image, uint8 (H, W)."""
        return np.full((self.image_size, self.image_size), gray, np.uint8)


@dataclass(frozen=True, kw_only=True)
class RadialFigureSettings(RadialSettings):
    """Settings of datasets whose categories are figures of radial contours; defaults of RCDB."""

    num_vertices_mean: float = setting(
        100.0, doc="mean of the exponential that vertex counts are drawn from", low=0.1, high=1e6
    )
    num_vertices_min: int = setting(3, doc="least vertices of a contour", low=3, high=100_000)
    num_vertices_max: int = setting(200, doc="most vertices of a contour", low=3, high=100_000)
    num_contours_min: int = setting(1, doc="least contours of a figure", low=1, high=10_000)
    num_contours_max: int = setting(200, doc="most contours of a figure", low=1, high=10_000)
    radius_min: int = setting(0, doc="least radius of the ellipse, pixels at size 512", low=0)
    radius_max: int = setting(100, doc="greatest radius, pixels at size 512", low=0, high=10_000)
    center_spread: int = setting(
        400,
        doc="centers are (512 + U{-spread..spread}) / 2, pixels at size 512",
        low=0,
        high=10_000,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_vertex_range(self.num_vertices_mean, self.num_vertices_min, self.num_vertices_max)

    def sample_figure(self, stream: Stream) -> tuple[Shape, int]:
        """Shape and number of the contours of a category."""
        num_vertices = exponential_count(
            stream, self.num_vertices_mean, self.num_vertices_min, self.num_vertices_max
        )
        num_contours = stream.integer(self.num_contours_min, self.num_contours_max)
        noise_coefficient, ring_offset = self.sample_noise(stream)
        shape = Shape(
            num_vertices=num_vertices,
            noise_coefficient=noise_coefficient,
            noise_gain=NOISE_GAIN,
            ring_offset=ring_offset,
        )
        return shape, num_contours


@dataclass(frozen=True, slots=True)
class Radial(Category):
    """A category: the shape and the number of its contours."""

    shape: Shape
    num_contours: int


@dataclass(frozen=True, kw_only=True)
class RadialCategorySettings(RadialFigureSettings):
    """Settings of datasets whose categories are shape and number of contours."""

    TABLE: ClassVar[TableLayout] = TableLayout(SHAPE_COLUMNS)

    def sample_category(self, index: int, key: Key) -> Radial:
        shape, num_contours = self.sample_figure(Stream(key))
        return Radial(index, key, shape, num_contours)

    def category_rows(self, category: Radial) -> Sequence[Row]:
        return [shape_row(category.shape, category.num_contours)]

    def category_of_rows(self, index: int, key: Key, rows: Rows) -> Radial:
        return Radial(index, key, *shape_of(rows[0]))


def shape_row(shape: Shape, num_contours: int) -> dict[str, int | float]:
    """Shape and number of contours in a table (``SHAPE_COLUMNS``)."""
    return {
        "num_vertices": shape.num_vertices,
        "num_contours": num_contours,
        "noise_coefficient": shape.noise_coefficient,
        "ring_offset": shape.ring_offset,
    }


def shape_of(row: Row) -> tuple[Shape, int]:
    """The inverse of :func:`shape_row`, for figures of ``RadialFigureSettings``."""
    shape = Shape(
        num_vertices=int(row["num_vertices"]),
        noise_coefficient=row["noise_coefficient"],
        noise_gain=NOISE_GAIN,
        ring_offset=row["ring_offset"],
    )
    return shape, int(row["num_contours"])


def ellipse_row(radius: int, oval_rates: tuple[float, float]) -> dict[str, int | float]:
    """The ellipse of a figure in a table (``ELLIPSE_COLUMNS``)."""
    return {"radius": radius, "oval_rate_x": oval_rates[0], "oval_rate_y": oval_rates[1]}


def ellipse_of(row: Row) -> tuple[int, tuple[float, float]]:
    """The inverse of :func:`ellipse_row`."""
    return int(row["radius"]), (row["oval_rate_x"], row["oval_rate_y"])


def draw_contours(
    blocks: Iterable[NDArray[np.int32]], value_K: NDArray[Any], canvas_HW: NDArray[Any]
) -> None:
    """Draw the contours of a figure over an image.

    Args:
        blocks: pixels of the contours, int32 (B, 2, Q) each.
        value_K: value of each contour's pixels, of the type of the canvas.
        canvas_HW: changed.
    """
    flat = canvas_HW.reshape(-1)
    drawn = 0
    for pixel_B2Q in blocks:
        values = value_K[drawn : drawn + len(pixel_B2Q)]
        draw_polygons(pixel_B2Q, values, canvas_HW.shape[1], flat)
        drawn += len(pixel_B2Q)


def facts(shape: Shape, center: tuple[float, float]) -> dict[str, int | float | str]:
    """What the metadata of an image say of its figure."""
    return {
        "num_vertices": shape.num_vertices,
        "noise_coefficient": shape.noise_coefficient,
        "ring_offset": shape.ring_offset,
        "center_x": center[0],
        "center_y": center[1],
    }
