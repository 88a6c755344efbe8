"""1p-frac's extension to a real image: one photograph and its geometric perturbations.

Nakamura et al., "Scaling Backwards: Minimal Synthetic Pre-training?", ECCV 2024, arXiv 2408.00677,
the experiment that replaces the fractal by a real image. Category c is one perturbation of that
source image, with one image.

Ours: the details, since no code was released. A transform says for every pixel of the output where
in the source image it comes from, in half-widths about the center; beyond it all is black:

- ``affine``: identity + U(-delta, delta) for each of the 2x3 entries;
- ``homography``: the same for each of 3x3 entries;
- ``polynomial``: (u, v) plus q_k times each of 1, u, v, u^2, uv, v^2 for each coordinate,
  q ~ U(-delta, delta);
- ``elastic``: plus a smooth field of displacements, cubic B-splines over a lattice of
  U(-delta, delta).

With ``canny`` the edges are those of the untransformed source image (``kernels/canny.py``).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.archive import png
from fdsl_gen.archive.paths import SOURCE_IMAGE
from fdsl_gen.core import keys
from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.keys import Key
from fdsl_gen.core.settings import pinned, setting
from fdsl_gen.geometry.source_image import read_source_image, source_image_digest, to_gray
from fdsl_gen.kernels.canny import find_edges
from fdsl_gen.kernels.warp import warp_elastic, warp_rational
from fdsl_gen.variants._citations import NAKAMURA_2024_SCALING
from fdsl_gen.variants.base import ImageSpec, Job, Rendered, Variant

Transform = Literal["affine", "homography", "polynomial", "elastic"]

# Which coefficients of 1, u, v, u^2, uv, v^2 are perturbed in the two coordinates and in the
# denominator.
_TERMS = {"affine": (3, 3, 0), "homography": (3, 3, 3), "polynomial": (6, 6, 0)}


@dataclass(frozen=True, kw_only=True)
class Real1(Variant):
    """Settings of the real-image extension of 1p-frac."""

    KIND: ClassVar[str] = "real-1"
    CITATION: ClassVar[str] = NAKAMURA_2024_SCALING

    image_size: int = setting(512, doc="side of the image, pixels", low=16, high=8192)
    source: str | None = setting(
        None, doc="path of the source image (a copy is stored)", identity=False, stored=False
    )
    source_sha256: str | None = setting(
        None,
        doc="digest of the prepared source image; found on reading if not given",
        derived="source_image_sha256",
    )
    representation: Literal["gray", "canny", "rgb"] = setting(
        "gray", doc="what is shown of the source image: gray levels, edges, colors (encoding rgb8)"
    )
    canny_low: float = setting(
        100.0, doc="gradient above which an edge goes on, |gx| + |gy| of gray levels", low=0.0
    )
    canny_high: float = setting(200.0, doc="gradient above which an edge begins", low=0.0)
    transform: Transform = setting("affine", doc="what perturbs the image")
    delta: float = setting(
        0.1, doc="size of the perturbation, half-widths of the image", low=0.0, high=100.0
    )
    elastic_cells: int = setting(
        8, doc="cells of the elastic lattice across the image", low=1, high=1024
    )

    def __post_init__(self) -> None:
        if self.canny_low > self.canny_high:
            raise UsageError(
                f"canny_low: must be at most canny_high ({self.canny_high:g}),"
                f" not {self.canny_low:g}"
            )

    @property
    def inputs(self) -> Mapping[str, str]:
        return {"source": SOURCE_IMAGE}

    def input_bytes(self, setting: str) -> bytes:
        return png.encode(self.source_image(), "rgb8")

    def check_files(self) -> None:
        if self.source is not None:
            self.source_image()

    @property
    def source_image_sha256(self) -> str | None:
        """Digest of the prepared image, as given or as read; None if there is no image yet."""
        if self.source_sha256 is not None or self.source is None:
            return self.source_sha256
        return source_image_digest(read_source_image(self.source, self.image_size))

    @property
    def image(self) -> ImageSpec:
        channels = 3 if self.representation == "rgb" else 1
        return ImageSpec(height=self.image_size, width=self.image_size, channels=channels)

    @property
    def max_instances(self) -> int | None:
        return 1

    def nominal_bytes(self, num_categories: int) -> int:
        """Photographs hardly shrink without filters; edges, resampled, to a fifth."""
        area = self.image_size**2
        return 1_600 + {"gray": area, "rgb": 3 * area, "canny": area // 5}[self.representation]

    def source_image(self) -> NDArray[np.uint8]:
        """The prepared source image, uint8 (S, S, 3).

        Raises:
            UsageError: if there is none, or another one than there was.
        """
        if self.source is None:
            raise UsageError("source: say which image the dataset is made from (--source FILE)")
        found = read_source_image(self.source, self.image_size)
        if source_image_digest(found) != self.source_image_sha256:
            raise UsageError(
                f"source: {self.source} is not the image that this dataset was begun with"
                " (its sha256 differs)"
            )
        return found

    def render(self, jobs: Iterable[Job]) -> Iterator[Rendered]:
        shown = _represented(pinned(self))  # whatever stands under the same path later
        for job in jobs:
            image = np.empty_like(shown)
            self._warp(job.category.key, shown, image)
            side = self.image_size
            yield Rendered(image if shown.shape[2] == 3 else image.reshape(side, side))

    def _warp(self, key: Key, shown: NDArray[np.uint8], image: NDArray[np.uint8]) -> None:
        if self.transform == "elastic":
            nodes = self.elastic_cells + 3
            draws = keys.uniforms(key.words, 2 * nodes * nodes, -self.delta, self.delta)
            warp_elastic(draws.reshape(2, nodes, nodes), shown, image)
        else:
            warp_rational(coefficients(self.transform, self.delta, key), shown, image)


def coefficients(transform: str, delta: float, key: Key) -> NDArray[np.float64]:
    """The identity, perturbed: of 1, u, v, u^2, uv, v^2 for p, q and w, float64 (3, 6)."""
    found = np.zeros((3, 6))
    found[0, 1] = found[1, 2] = found[2, 0] = 1.0
    stream = keys.Stream(key)
    for row, terms in enumerate(_TERMS[transform]):
        for k in range(terms):
            found[row, k] += stream.uniform(-delta, delta)
    return found


@lru_cache(maxsize=2)
def _represented(settings: Real1) -> NDArray[np.uint8]:
    """What the images show of the source image, uint8 (S, S, C)."""
    image = settings.source_image()
    if settings.representation == "rgb":
        return np.array(image)
    gray = to_gray(image)
    if settings.representation == "canny":
        edges = np.empty_like(gray)
        find_edges(gray, np.array([settings.canny_low, settings.canny_high]), edges)
        gray = edges
    return gray[:, :, None].copy()
