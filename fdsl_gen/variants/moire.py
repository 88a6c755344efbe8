"""Moire: interference fringes of gratings, as pictures to mix with.

Matsuo, Hayamizu, Kataoka and Nakamura, "MoireDB: Formula-generated Interference-fringe Image
Dataset", arXiv 2502.01490, and MoireMix, arXiv 2603.25109. The category is the gratings: how many,
straight or circular, their wave numbers and directions, multiplied or added; an instance has its
own phases, centers and colors.

Ours, since no code was released: everything but that idea. Two or three gratings, circular with
probability 1/2, of U(waves_min, waves_max) waves across the image; centers uniform over a square of
twice the side about the middle; the colors are three phases, a step U(0, 1/3) of a turn apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.core.keys import Key, Stream
from fdsl_gen.core.settings import check_ranges, setting
from fdsl_gen.geometry.category_table import Column, Row, Rows, TableLayout
from fdsl_gen.kernels.elementary import cos, sin
from fdsl_gen.kernels.moire import STEPS, draw_gratings
from fdsl_gen.variants._citations import MATSUO_2025_MOIREDB
from fdsl_gen.variants._parametric import Parametric
from fdsl_gen.variants.base import Category, ImageSpec, Job, Rendered

_TURN = 6.283185307179586


@cache
def _cosines() -> NDArray[np.float64]:
    """Cosines in the middle of the steps of a turn, float64 (T,)."""
    return np.array([cos(_TURN * (k + 0.5) / STEPS) for k in range(STEPS)])


@dataclass(frozen=True, slots=True)
class Gratings(Category):
    """A category: kind, wave numbers and direction of its gratings, float64 (M, 4)."""

    grating_M4: NDArray[np.float64]
    product: bool


@dataclass(frozen=True, kw_only=True)
class Moire(Parametric):
    """Settings of the interference fringes."""

    KIND: ClassVar[str] = "moire"
    CITATION: ClassVar[str] = MATSUO_2025_MOIREDB
    TABLE: ClassVar[TableLayout] = TableLayout(
        (
            Column("circular", "1: rings, 0: straight fringes", "int", 0, 1),
            Column("across", "waves across the image, of straight fringes", low=-256.0, high=256.0),
            Column("down", "waves down the image, of straight fringes", low=-256.0, high=256.0),
            Column("waves", "waves along a side of the image, of rings", low=0.0, high=256.0),
            Column("product", "1: gratings are multiplied, 0: added; of row 0", "int", 0, 1),
        ),
        part="grating",
        most_parts=16,
    )

    image_size: int = setting(224, doc="side of the image, pixels", low=16, high=8192)
    gratings_min: int = setting(2, doc="least gratings of a category", low=1, high=16)
    gratings_max: int = setting(3, doc="most gratings of a category", low=1, high=16)
    waves_min: float = setting(4.0, doc="least waves across the image", low=0.0, high=256.0)
    waves_max: float = setting(60.0, doc="most waves across the image", low=0.0, high=256.0)

    def __post_init__(self) -> None:
        check_ranges(self, ("gratings", "waves"))

    @property
    def image(self) -> ImageSpec:
        return ImageSpec(height=self.image_size, width=self.image_size, channels=3)

    def nominal_bytes(self, num_categories: int) -> int:
        """Measured: 146 kB at 224 pixels, 758 kB at 512."""
        return 1_600 + self.image_size**2 * 3

    def sample_category(self, index: int, key: Key) -> Gratings:
        stream = Stream(key)
        count = stream.integer(self.gratings_min, self.gratings_max)
        product = stream.integer(0, 1) == 1
        grating_M4 = np.zeros((count, 4))
        for grating in grating_M4:
            waves = stream.uniform(self.waves_min, self.waves_max)
            direction = _TURN * stream.uniform()
            circular = stream.integer(0, 1)
            grating[:] = circular, waves * cos(direction), waves * sin(direction), waves
        return Gratings(index, key, grating_M4, product)

    def category_rows(self, category: Gratings) -> Sequence[Row]:
        return [
            {
                "circular": int(circular),
                "across": across,
                "down": down,
                "waves": waves,
                "product": int(category.product),
            }
            for circular, across, down, waves in category.grating_M4.tolist()
        ]

    def category_of_rows(self, index: int, key: Key, rows: Rows) -> Gratings:
        names = ("circular", "across", "down", "waves")
        grating_M4 = np.array([[row[name] for name in names] for row in rows], np.float64)
        return Gratings(index, key, grating_M4, rows[0]["product"] == 1)

    def render_one(self, job: Job) -> Rendered:
        gratings: Gratings = job.category
        stream = Stream(job.key)
        grating_M8 = np.zeros((len(gratings.grating_M4), 8))
        for row, (circular, across, down, waves) in zip(
            grating_M8, gratings.grating_M4, strict=True
        ):
            center = [stream.uniform(-0.5, 1.5) for _ in range(2)]
            phase = stream.uniform()
            row[:] = circular, across, down, *center, waves, phase, stream.uniform(0.0, 1.0 / 3.0)
        image = np.empty((self.image_size, self.image_size, 3), np.uint8)
        draw_gratings(grating_M8, gratings.product, _cosines(), image)
        return Rendered(image, parameters={"num_gratings": len(grating_M8)})
