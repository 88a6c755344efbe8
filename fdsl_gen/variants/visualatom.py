"""VisualAtom: orbits of an atom, sinusoidal waves around an ellipse.

Takashima et al., "Visual Atoms: Pre-training Vision Transformers with Sinusoidal Waves", CVPR 2023,
arXiv 2303.01112, section 3. A category is the shape of the orbits; an instance chooses place, grays
and noise. The rules are those of the released generator, where the first orbit that is drawn is the
ellipse after one step outwards.

Ours: where ``frequency_min`` equals ``frequency_max``, both waves have that frequency.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fdsl_gen.core.keys import Key, Stream
from fdsl_gen.core.settings import setting
from fdsl_gen.geometry.category_table import Column, Row, Rows, TableLayout
from fdsl_gen.geometry.contour import Shape, ellipse, grays, grown
from fdsl_gen.variants._citations import TAKASHIMA_2023_VISUAL
from fdsl_gen.variants._contours import (
    ELLIPSE_COLUMNS,
    SHAPE_COLUMNS,
    RadialSettings,
    draw_contours,
    ellipse_of,
    ellipse_row,
    facts,
    shape_of,
    shape_row,
)
from fdsl_gen.variants.base import Category, Job, Rendered

_WHITE = 255
_NOISE_GAIN = 1.0
_WAVES = tuple(
    Column(f"frequency_{k}", f"waves a turn of wave {k}", "int", 0, 10_000) for k in (1, 2)
)


@dataclass(frozen=True, slots=True)
class Atom(Category):
    """A category: its orbits and the ellipse they begin with."""

    shape: Shape
    num_orbits: int
    radius: int
    oval_rates: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class VisualAtom(RadialSettings):
    """Settings of VisualAtom."""

    KIND: ClassVar[str] = "visualatom"
    CITATION: ClassVar[str] = TAKASHIMA_2023_VISUAL
    TABLE: ClassVar[TableLayout] = TableLayout(SHAPE_COLUMNS + ELLIPSE_COLUMNS + _WAVES)

    num_vertices_min: int = setting(200, doc="least vertices of an orbit", low=3, high=100_000)
    num_vertices_max: int = setting(1000, doc="most vertices of an orbit", low=3, high=100_000)
    num_orbits_min: int = setting(1, doc="least orbits of an atom", low=1, high=10_000)
    num_orbits_max: int = setting(200, doc="most orbits of an atom", low=1, high=10_000)
    radius_min: int = setting(10, doc="least radius of the ellipse, pixels at size 512", low=0)
    radius_max: int = setting(60, doc="greatest radius, pixels at size 512", low=0, high=10_000)
    frequency_min: int = setting(0, doc="least frequency of a wave, per turn", low=0, high=10_000)
    frequency_max: int = setting(20, doc="greatest frequency, per turn", low=0, high=10_000)
    amplitude_1: float = setting(
        0.5, doc="amplitude of the first wave, pixels at size 512", low=0.0, high=100.0
    )
    amplitude_2: float = setting(
        0.5, doc="amplitude of the second wave, pixels at size 512", low=0.0, high=100.0
    )
    center_spread: int = setting(
        512,
        doc="centers are (512 + U{-spread..spread}) / 2, pixels at size 512",
        low=0,
        high=10_000,
    )

    def nominal_bytes(self, num_categories: int) -> int:
        """Measured: 57 kB at 512 pixels, 19 kB at 256."""
        return int(1_600 + 5.0 * self.image_size**1.5)

    def sample_category(self, index: int, key: Key) -> Atom:
        stream = Stream(key)
        num_vertices = stream.integer(self.num_vertices_min, self.num_vertices_max)
        num_orbits = stream.integer(self.num_orbits_min, self.num_orbits_max)
        noise_coefficient, ring_offset = self.sample_noise(stream)
        radius = stream.integer(self.radius_min, self.radius_max)
        frequencies = self.sample_frequencies(stream)
        shape = Shape(
            num_vertices=num_vertices,
            noise_coefficient=noise_coefficient,
            noise_gain=_NOISE_GAIN,
            ring_offset=ring_offset,
            frequencies=frequencies,
            amplitudes=(self.amplitude_1, self.amplitude_2),
        )
        return Atom(index, key, shape, num_orbits, radius, self.sample_oval_rates(stream))

    def category_rows(self, category: Atom) -> Sequence[Row]:
        first, second = category.shape.frequencies
        row = shape_row(category.shape, category.num_orbits)
        row |= ellipse_row(category.radius, category.oval_rates)
        return [row | {"frequency_1": first, "frequency_2": second}]

    def category_of_rows(self, index: int, key: Key, rows: Rows) -> Atom:
        (row,) = rows
        shape, num_orbits = shape_of(row)
        shape = dataclasses.replace(
            shape,
            noise_gain=_NOISE_GAIN,
            frequencies=(int(row["frequency_1"]), int(row["frequency_2"])),
            amplitudes=(self.amplitude_1, self.amplitude_2),
        )
        return Atom(index, key, shape, num_orbits, *ellipse_of(row))

    def sample_frequencies(self, stream: Stream) -> tuple[int, int]:
        """Frequencies of the two waves; they are equal only where both are 0."""
        low, high = self.frequency_min, self.frequency_max
        first = stream.integer(low, high)
        second = stream.integer(low, high)
        while second == first and first != 0 and low != high:
            second = stream.integer(low, high)
        return first, second

    def render_one(self, job: Job) -> Rendered:
        atom: Atom = job.category
        key = job.key
        center = self.sample_center(Stream(key), self.center_spread)
        figure = key.derive(f"{key.role} figure", *key.indices)
        point_2Q = ellipse(atom.shape, self.scale, atom.radius, atom.oval_rates)
        point_2Q += np.array(center)[:, None]  # from the start on: rounding depends on it
        orbits = grown(atom.shape, self.scale, figure, point_2Q, (0.0, 0.0), atom.num_orbits)
        image = self.blank()
        draw_contours(orbits, grays(figure, atom.num_orbits, _WHITE).astype(np.uint8), image)
        named = facts(atom.shape, center) | {
            "num_orbits": atom.num_orbits,
            "radius": atom.radius,
            "oval_rate_x": atom.oval_rates[0],
            "oval_rate_y": atom.oval_rates[1],
            "frequency_1": atom.shape.frequencies[0],
            "frequency_2": atom.shape.frequencies[1],
        }
        return Rendered(image, parameters=named)
