"""InsCore: radial contours as instances that hide each other, each with a mask of its own.

Industrial Synthetic Segment Pre-training, arXiv 2505.13099. An image holds U{1..K_max} contours of
RCDB's kind at random places; a later one hides earlier ones. The mask of an instance is the area
inside its last contour less what hides it.

Ours, since no code was released: categories are those of RCDB (numbers of vertices and contours,
noise, ring offset), with fewer contours and smaller radii, so that figures fit beside each other.
An instance has its own radius, stretch, place and values; it is filled with one value, its lines
have values of their own and are drawn inside the filled area only, so that masks are what is seen.
Instances of fewer than ``min_area`` visible pixels have no label, but stay drawn.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.archive.label_types import INSTANCES, LabelType
from fdsl_gen.core.keys import Key, Stream, category_key
from fdsl_gen.core.settings import setting
from fdsl_gen.geometry.contour import ellipse, grays, grown
from fdsl_gen.kernels.instances import count_pixels, paint_owned, renumber
from fdsl_gen.kernels.polygon import fill_polygon
from fdsl_gen.variants._citations import INSCORE_2025
from fdsl_gen.variants._contours import Radial, RadialCategorySettings, draw_contours
from fdsl_gen.variants.base import ImageSpec, Job, Rendered

_BRIGHTEST = 254  # above 1: no value is that of the background


@dataclass(frozen=True, kw_only=True)
class InsCore(RadialCategorySettings):
    """Settings of InsCore."""

    KIND: ClassVar[str] = "inscore"
    SCENE: ClassVar[bool] = True
    LABEL_TYPE: ClassVar[LabelType] = INSTANCES
    CITATION: ClassVar[str] = INSCORE_2025

    num_contours_max: int = setting(30, doc="most contours of a figure", low=1, high=10_000)
    radius_max: int = setting(50, doc="greatest radius, pixels at size 512", low=0, high=10_000)
    center_spread: int = setting(
        512,
        doc="centers are (512 + U{-spread..spread}) / 2, pixels at size 512",
        low=0,
        high=10_000,
    )
    num_objects_min: int = setting(1, doc="least instances in an image", low=1, high=255)
    num_objects_max: int = setting(32, doc="most instances in an image", low=1, high=255)
    min_area: int = setting(
        16, doc="instances of fewer visible pixels have no label", low=1, high=10**8
    )
    color: bool = setting(False, doc="colored fillings and lines (encoding rgb8); otherwise gray")

    @property
    def image(self) -> ImageSpec:
        side = self.image_size
        return ImageSpec(height=side, width=side, channels=3 if self.color else 1)

    def nominal_bytes(self, num_categories: int) -> int:
        """Measured, annotations included: 65 kB at 512 pixels, 23 kB at 224; 85 kB in color."""
        return int(1_600 + (7.2 if self.color else 5.5) * self.image_size**1.5)

    def render_one(self, job: Job) -> Rendered:
        stream = Stream(job.key)
        count = stream.integer(self.num_objects_min, self.num_objects_max)
        side = self.image_size
        image_HWC = np.zeros((side, side, 3 if self.color else 1), np.uint8)
        owner_HW = np.zeros((side, side), np.uint16)
        ink_HW = np.zeros((side, side), np.uint16)
        labels = []
        for number in range(1, count + 1):
            radial = self._draw(job, number, ink_HW, owner_HW, image_HWC)
            labels.append(radial.index)
        mask, kept = self._visible(owner_HW, labels)
        facts = {"num_objects": count, "num_dropped": count - len(kept)}
        image = image_HWC if self.color else image_HWC[:, :, 0]
        return Rendered(np.ascontiguousarray(image), mask, kept, parameters=facts)

    def _draw(
        self,
        job: Job,
        number: int,
        ink_HW: NDArray[np.uint16],
        owner_HW: NDArray[np.uint16],
        image_HWC: NDArray[np.uint8],
    ) -> Radial:
        """Draw an instance over those before it; its category."""
        stream = Stream(job.key.derive("image object", *job.key.indices, number))
        index = stream.integer(0, job.num_categories - 1)
        radial = _category(self, category_key(job.key.seed, index))
        radius = stream.integer(self.radius_min, self.radius_max)
        oval_rates = self.sample_oval_rates(stream)
        center = self.sample_center(stream, self.center_spread)
        key = job.key.derive("image figure", *job.key.indices, number)
        shape, num_contours = radial.shape, radial.num_contours
        point_2Q = ellipse(shape, self.scale, radius, oval_rates)
        blocks = list(grown(shape, self.scale, key, point_2Q, center, num_contours))
        side, channels = self.image_size, image_HWC.shape[2]
        fill_polygon(blocks[-1][-1], np.uint16(number), side, owner_HW.reshape(-1))
        draw_contours(blocks, np.arange(1, num_contours + 1, dtype=np.uint16), ink_HW)
        values = grays(key, (num_contours + 1) * channels, _BRIGHTEST) + 1
        palette_KC = values.astype(np.uint8).reshape(-1, channels)
        paint_owned(ink_HW, owner_HW, np.uint16(number), _box(blocks, side), palette_KC, image_HWC)
        return radial

    def _visible(
        self, owner_HW: NDArray[np.uint16], labels: list[int]
    ) -> tuple[NDArray[np.uint8], tuple[int, ...]]:
        """Numbers of the instances that are large enough, at every pixel, and their labels."""
        area_K = np.zeros(len(labels) + 1, np.int64)
        count_pixels(owner_HW, area_K)
        kept = [k for k, area in enumerate(area_K.tolist()) if k and area >= self.min_area]
        new_K = np.zeros(len(labels) + 1, np.uint8)
        new_K[kept] = np.arange(1, len(kept) + 1)
        mask = np.empty(owner_HW.shape, np.uint8)
        renumber(new_K, owner_HW, mask)
        return mask, tuple(labels[k - 1] for k in kept)


def _box(blocks: list[NDArray[np.int32]], side: int) -> NDArray[np.int64]:
    """Left, top, right and bottom of all contours, on the canvas, int64 (4,)."""
    low_2 = np.min([block.min(axis=(0, 2)) for block in blocks], axis=0)
    high_2 = np.max([block.max(axis=(0, 2)) for block in blocks], axis=0) + 1
    box: NDArray[np.int64] = np.clip(np.concatenate([low_2, high_2]), 0, side).astype(np.int64)
    return box


@lru_cache(maxsize=4096)
def _category(settings: InsCore, key: Key) -> Radial:
    radial: Radial = settings.category(key.indices[0], key)
    return radial
