"""PerlinNoise: gray gradient noise, labeled by its wave numbers.

One of the sets that FractalDB was compared with: Kataoka et al., "Pre-training without Natural
Images", ACCV 2020 and IJCV 2022, arXiv 2101.08515. The category is how many cells of noise stand
across and down, out of a square grid of such pairs.

Ours, since no code was released: everything but that idea. Wave numbers count from 1; category c
has c mod G + 1 cells across and c div G + 1 down, G being the side of the grid; every instance has
fresh gradients; each image is rescaled to 0 .. 255.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fdsl_gen.core.errors import RenderError
from fdsl_gen.core.keys import Key
from fdsl_gen.core.settings import setting
from fdsl_gen.geometry.category_table import Column, Row, Rows, TableLayout
from fdsl_gen.kernels.gradient_noise import draw_noise, sample_gradients, to_levels
from fdsl_gen.variants._citations import KATAOKA_2022_PRETRAINING
from fdsl_gen.variants._parametric import Parametric
from fdsl_gen.variants.base import Category, ImageSpec, Job, Rendered


@dataclass(frozen=True, slots=True)
class Waves(Category):
    """A category: cells across and down."""

    across: int
    down: int


@dataclass(frozen=True, kw_only=True)
class PerlinNoise(Parametric):
    """Settings of PerlinNoise."""

    KIND: ClassVar[str] = "perlin-noise"
    CITATION: ClassVar[str] = KATAOKA_2022_PRETRAINING
    TABLE: ClassVar[TableLayout] = TableLayout(
        (
            Column("across", "cells across", "int", 1, 256),
            Column("down", "cells down", "int", 1, 256),
        )
    )

    image_size: int = setting(362, doc="side of the image, pixels", low=16, high=8192)
    grid_size: int = setting(10, doc="wave numbers along each axis of the grid", low=1, high=256)

    @property
    def image(self) -> ImageSpec:
        return ImageSpec(height=self.image_size, width=self.image_size)

    def nominal_bytes(self, num_categories: int) -> int:
        """Measured at 362 pixels: 64 kB with a grid of 10, 99 kB with one of 36."""
        return int(1_600 + 0.211 * self.grid_size**0.353 * self.image_size**2)

    def sample_category(self, index: int, key: Key) -> Waves:
        side = self.grid_size
        if index >= side * side:
            raise RenderError(
                f"a grid of {side} has {side * side} categories, no number {index};"
                " give more grid_size or fewer num_categories"
            )
        return Waves(index, key, index % side + 1, index // side + 1)

    def category_rows(self, category: Waves) -> Sequence[Row]:
        return [{"across": category.across, "down": category.down}]

    def category_of_rows(self, index: int, key: Key, rows: Rows) -> Waves:
        return Waves(index, key, int(rows[0]["across"]), int(rows[0]["down"]))

    def render_one(self, job: Job) -> Rendered:
        waves: Waves = job.category
        side = self.image_size
        gradient = np.empty((2, waves.down + 1, waves.across + 1))
        sample_gradients(job.key.words, gradient)
        noise = np.empty((side, side))
        draw_noise(gradient, noise)
        image = np.empty((side, side), np.uint8)
        to_levels(noise, image)
        return Rendered(image, parameters={"waves_across": waves.across, "waves_down": waves.down})
