"""RCDB: radial contours.

Kataoka et al., "Replacing Labeled Real-image Datasets with Auto-generated Contours", CVPR 2022,
arXiv 2206.09132, section 3. A category is the number and shape of the contours; an instance chooses
ellipse, place, grays and noise. The rules are those of the released generator, but for its white
background: all published figures are black, and so is the default here.

Ours: the ranges of the paper's failure case ``broken_contours``, lines of background color over
the finished image.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.core.keys import Key, Stream
from fdsl_gen.core.settings import setting
from fdsl_gen.geometry.contour import ellipse, grays, grown
from fdsl_gen.kernels.line import draw_strokes
from fdsl_gen.kernels.scatter import scatter_strokes
from fdsl_gen.variants._citations import KATAOKA_2022_REPLACING
from fdsl_gen.variants._contours import Radial, RadialCategorySettings, draw_contours, facts
from fdsl_gen.variants.base import Job, Rendered

_WHITE = 255
_GREATEST_GRAY = 256  # drawn as 255, as in the released code


@dataclass(frozen=True, kw_only=True)
class Rcdb(RadialCategorySettings):
    """Settings of RCDB."""

    KIND: ClassVar[str] = "rcdb"
    CITATION: ClassVar[str] = KATAOKA_2022_REPLACING

    background: Literal["black", "white"] = setting("black", doc="color of the background")
    broken_contours: int = setting(
        0, doc="lines of background color drawn over the image (failure case)", low=0, high=100_000
    )
    broken_length_min: float = setting(
        8.0, doc="least length of such a line, pixels at size 512", low=0.0, high=10_000
    )
    broken_length_max: float = setting(
        32.0, doc="greatest length, pixels at size 512", low=0.0, high=10_000
    )
    broken_thickness_min: int = setting(
        1, doc="least thickness, pixels at size 512", low=1, high=1_000
    )
    broken_thickness_max: int = setting(
        4, doc="greatest thickness, pixels at size 512", low=1, high=1_000
    )

    def nominal_bytes(self, num_categories: int) -> int:
        """Measured: 34 kB at 512 pixels, 13 kB at 256."""
        return int(1_600 + 3.0 * self.image_size**1.5)

    def render_one(self, job: Job) -> Rendered:
        radial: Radial = job.category
        key = job.key
        stream = Stream(key)
        radius = stream.integer(self.radius_min, self.radius_max)
        oval_rates = self.sample_oval_rates(stream)
        center = self.sample_center(stream, self.center_spread)
        figure = key.derive(f"{key.role} figure", *key.indices)
        point_2Q = ellipse(radial.shape, self.scale, radius, oval_rates)
        # The center is added at drawing: rounding depends on it.
        contours = grown(radial.shape, self.scale, figure, point_2Q, center, radial.num_contours)
        gray_K = np.minimum(grays(figure, radial.num_contours, _GREATEST_GRAY), _WHITE)
        background = _WHITE if self.background == "white" else 0
        image = self.blank(background)
        draw_contours(contours, gray_K.astype(np.uint8), image)
        if self.broken_contours:
            self._break(image, background, key)
        named = facts(radial.shape, center) | {
            "num_contours": radial.num_contours,
            "radius": radius,
            "oval_rate_x": oval_rates[0],
            "oval_rate_y": oval_rates[1],
        }
        return Rendered(image, parameters=named)

    def _break(self, image: NDArray[np.uint8], background: int, key: Key) -> None:
        """Draw lines of the background's color over an image."""
        segment_M4 = np.empty((self.broken_contours, 4), np.int64)
        size = np.array([self.image_size, self.image_size], np.float64)
        lengths = np.array([self.broken_length_min, self.broken_length_max]) * self.scale
        places = key.derive(f"{key.role} broken", *key.indices)
        scatter_strokes(places.words, size, lengths, segment_M4)
        stream = Stream(key.derive(f"{key.role} broken thickness", *key.indices))
        low, high = self.broken_thickness_min, self.broken_thickness_max
        drawn = [stream.integer(low, high) for _ in range(self.broken_contours)]
        thickness_M = np.array([max(1, round(t * self.scale)) for t in drawn])
        value = np.uint8(background)
        draw_strokes(segment_M4, thickness_M, value, self.image_size, image.reshape(-1))
