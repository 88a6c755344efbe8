"""Variations of the Mandelbulb: colored fractal bodies in space, seen from many sides.

Chiche, Horikawa and Fujita, "Pre-training Vision Models with Mandelbulb Variations", CVPR 2024,
section 3. A category is a power and a rule that says which sines and cosines make the coordinates
(MandelbulbVAR-1k), or two of them taking turns (Hybrid-21k); an instance has its own camera and
colors. The released generator draws in single precision on a GPU; this one needs none, draws in
double precision and repeats itself to the bit.

As released: a category of Hybrid-21k with one map applies it twice a round. Latitude and longitude
are drawn in degrees and used as radians; the surface is lit where it faces away from the light.
With ``draws: released`` the camera's angles and theta are also as on that GPU: parts of a turn in
single precision, toward zero, and an arccosine from four terms. Both were found by comparing with
released images, which then differ by the roughness of the surface in single precision alone.

Ours: ``draws: keyed``, any number of instances; a surface without a slope is lit as if it faced
sideways; what is not a number is black.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.core.errors import RenderError
from fdsl_gen.core.keys import Key, Stream
from fdsl_gen.core.settings import setting
from fdsl_gen.geometry import power_map
from fdsl_gen.geometry.category_table import Column, Row, Rows, TableLayout
from fdsl_gen.kernels.lanczos import fill_weights, shrink
from fdsl_gen.kernels.mandelbulb_image import draw_field
from fdsl_gen.variants._citations import CHICHE_2024_MANDELBULB
from fdsl_gen.variants._parametric import Parametric
from fdsl_gen.variants.base import Category, ImageSpec, Job, Rendered

_RELEASED_SEED = 42
_DRAWS = 11  # doubles of an image: latitude, longitude, three colors
_POWERS = range(2, 19)
# fmt: off
_RULES = (
    107, 106, 263, 334, 205, 271, 434, 225, 331, 413, 141, 167, 424, 196, 222, 461, 488, 109, 151,
    232, 42, 188, 507, 32, 451, 132, 190, 481, 143, 96, 180, 388, 397, 68, 135, 197, 360, 40, 465,
    243, 506, 160, 327, 175, 105, 223, 198, 332, 452, 174, 281, 395, 238, 386, 161, 168, 204, 416,
    244, 418, 297,
)
# fmt: on
_LATITUDE = {"1k": 90.0, "hybrid-21k": 30.0}
_MAPS = {"1k": 1, "hybrid-21k": 2}  # of a round
_RELEASED_INSTANCES = {"1k": 1000, "hybrid-21k": 50}


@lru_cache(maxsize=2)
def _classes(name: str) -> list[tuple[int, ...]]:
    """Power and rule of the first map of every category, and of the second if there is one."""
    if name == "1k":
        return [(power, rule) for power in _POWERS for rule in _RULES]
    file = Path(__file__).with_name("mandelbulb_hybrid_21k.csv")
    lines = (line for line in file.read_text().splitlines() if not line.startswith("#"))
    return [tuple(map(int, line)) for line in csv.reader(lines)]


@lru_cache(maxsize=8)
def _weights(size: int, out: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First input pixel and weights of every output pixel of a Lanczos resampling."""
    first_D = np.empty(out, np.int64)
    weight_DT = np.empty((out, 2 * -(-3 * size // out) + 1), np.int64)
    fill_weights(size, first_D, weight_DT)
    return first_D, weight_DT


def _gpu_angle(angle: float) -> float:
    """An angle in radians as the GPU of the released images rounds it before sine and cosine."""
    single = np.float32(angle)
    exact = float(single) * float(np.float32(0.15915494309189535))
    turns = np.float32(exact)
    if abs(float(turns)) > abs(exact):
        turns = np.nextafter(turns, np.float32(0))
    return float(turns) * 6.283185307179586


@dataclass(frozen=True, slots=True)
class Bulb(Category):
    """A category: its maps, int64 (F, K), and their powers and rules."""

    map_FK: NDArray[np.int64]
    powers_and_rules: tuple[int, ...]


def _bulb(index: int, key: Key, numbers: tuple[int, ...], bent: bool) -> Bulb:
    """A category by its powers and rules, in turn; see :func:`power_map.row`."""
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    map_FK = np.array([power_map.row(power, rule, bent) for power, rule in pairs], np.int64)
    return Bulb(index, key, map_FK, numbers)


@dataclass(frozen=True, kw_only=True)
class Mandelbulb(Parametric):
    """Settings of the Mandelbulb variations."""

    KIND: ClassVar[str] = "mandelbulb"
    CITATION: ClassVar[str] = CHICHE_2024_MANDELBULB
    TABLE: ClassVar[TableLayout] = TableLayout(
        (
            Column("power", "n of the map", "int", 2, 100),
            Column("rule", "nine bits, which sines and cosines", "int", 0, 511),
        ),
        part="map",
        most_parts=2,
    )

    image_size: int = setting(512, doc="side of the image, pixels", low=16, high=2048)
    classes: Literal["1k", "hybrid-21k"] = setting("1k", doc="list of categories")
    draws: Literal["keyed", "released"] = setting(
        "keyed", doc="cameras and colors: our own, or those of the released images"
    )
    supersampling: int = setting(2, doc="samples along each side of a pixel", low=1, high=8)
    iterations: int = setting(100, doc="rounds of an orbit at most", low=1, high=100_000)
    ray_steps: int = setting(1000, doc="distances along a ray at most", low=1, high=100_000)
    light_steps: int = setting(
        10_000, doc="distances along a ray of light at most", low=1, high=100_000
    )

    @property
    def image(self) -> ImageSpec:
        return ImageSpec(height=self.image_size, width=self.image_size, channels=3)

    @property
    def revision(self) -> int:
        return 2 if self.draws == "released" else 1

    @property
    def max_instances(self) -> int | None:
        return _RELEASED_INSTANCES[self.classes] if self.draws == "released" else None

    def nominal_bytes(self, num_categories: int) -> int:
        """Measured: 400 kB at 512 pixels, 85 kB at 224."""
        return 1_600 + self.image_size**2 * 8 // 5

    def sample_category(self, index: int, key: Key) -> Bulb:
        known = _classes(self.classes)
        if index >= len(known):
            raise RenderError(
                f"classes {self.classes} has {len(known)} categories, no number {index};"
                " give fewer num_categories"
            )
        return _bulb(index, key, known[index], self.draws == "released")

    def category_rows(self, category: Bulb) -> Sequence[Row]:
        numbers = category.powers_and_rules
        pairs = zip(numbers[::2], numbers[1::2], strict=True)
        return [{"power": power, "rule": rule} for power, rule in pairs]

    def category_of_rows(self, index: int, key: Key, rows: Rows) -> Bulb:
        numbers = [int(row[name]) for row in rows for name in ("power", "rule")]
        return _bulb(index, key, tuple(numbers), self.draws == "released")

    def _uniforms(self, job: Job) -> list[float]:
        """The eleven draws U(0, 1) of an image."""
        if self.draws == "keyed":
            stream = Stream(job.key)
            return [stream.uniform() for _ in range(_DRAWS)]
        number = job.category.index * _RELEASED_INSTANCES[self.classes] + job.instance
        generator = np.random.PCG64(_RELEASED_SEED).advance(_DRAWS * number)
        return [(int(word) >> 11) * 2.0**-53 for word in generator.random_raw(_DRAWS)]

    def render_one(self, job: Job) -> Rendered:
        draws = self._uniforms(job)
        widest = _LATITUDE[self.classes]
        latitude = -widest + 2.0 * widest * draws[0]
        longitude = 360.0 * draws[1]
        angles = (latitude, longitude)
        if self.draws == "released":
            angles = (_gpu_angle(latitude), _gpu_angle(longitude))
        color_33 = np.array(draws[2:]).reshape(3, 3)
        side = self.image_size * self.supersampling
        large = np.empty((side, side, 3), np.uint8)
        map_FK = job.category.map_FK
        # One map twice a round is that map in twice as many rounds.
        rounds = self.iterations * max(_MAPS[self.classes] // len(map_FK), 1)
        ball = power_map.ball(*job.category.powers_and_rules[:2])
        limits_5 = np.array([rounds, self.ray_steps, self.light_steps, *ball], np.float64)
        draw_field(map_FK, limits_5, power_map.view(*angles), color_33, large)
        image = large
        if self.supersampling > 1:
            image = np.empty((self.image_size, self.image_size, 3), np.uint8)
            shrink(large, *_weights(side, self.image_size), image)
        facts: dict[str, int | float | str] = {
            "maps": " ".join(map(str, job.category.powers_and_rules)),
            "latitude": latitude,
            "longitude": longitude,
        }
        facts |= {f"color_{k // 3}_{'rgb'[k % 3]}": value for k, value in enumerate(draws[2:])}
        return Rendered(image, parameters=facts)
