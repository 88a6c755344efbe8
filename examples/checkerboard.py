"""Checkerboards, a kind of dataset to begin one's own with: a category is a number of squares."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fdsl_gen.core.keys import Stream
from fdsl_gen.core.settings import setting
from fdsl_gen.variants.base import ImageSpec, Job, Rendered, Variant


@dataclass(frozen=True, kw_only=True)
class Checkerboard(Variant):
    """Settings of checkerboards."""

    KIND: ClassVar[str] = "checkerboard"
    CITATION: ClassVar[str] = "@misc{checkerboard, title = {An example}}"

    image_size: int = setting(256, doc="side of the image, pixels", low=16, high=8192)
    gray_min: int = setting(64, doc="least gray of the squares", low=1, high=255)

    @property
    def image(self) -> ImageSpec:
        return ImageSpec(height=self.image_size, width=self.image_size)

    def nominal_bytes(self, num_categories: int) -> int:
        """Measured with 10 categories at 256 pixels."""
        return 900

    def render_one(self, job: Job) -> Rendered:
        squares = 2 + job.category.index
        gray = Stream(job.key).integer(self.gray_min, 255)  # all draws come from the key
        number_N = np.arange(self.image_size) * squares // self.image_size
        odd_NN = (number_N[:, None] + number_N) % 2
        image = (odd_NN * gray).astype(np.uint8)
        return Rendered(image, parameters={"squares": squares, "gray": gray})
