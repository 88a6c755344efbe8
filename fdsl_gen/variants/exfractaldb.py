"""ExFractalDB, MV-FractalDB and OFDB-3D: fractal models in space, seen from many sides.

ExFractalDB: Kataoka et al., CVPR 2022, arXiv 2206.09132, section 3. MV-FractalDB: Yamada et al.,
IROS 2021. OFDB-3D: Nakamura et al., ICCV 2023, arXiv 2307.14710. Details follow the released code.

Ours: a category is accepted only if every row of its table of weights stays finite (the released
code drops such images silently); viewpoints on the sphere are drawn uniformly; all in double
precision, where the released code draws in single precision on a GPU.

Shapes: N maps of 12 coefficients, P points.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.core.errors import RenderError, UsageError
from fdsl_gen.core.keys import Key, Stream
from fdsl_gen.core.patience import Patience
from fdsl_gen.core.settings import check_ranges, setting
from fdsl_gen.geometry import camera, ifs
from fdsl_gen.geometry.category_table import Row, Rows, TableLayout
from fdsl_gen.geometry.weight_table import WeightTable
from fdsl_gen.kernels import chaos, space
from fdsl_gen.variants._citations import (
    KATAOKA_2022_REPLACING,
    NAKAMURA_2023_OFDB,
    YAMADA_2021_MVFRACTALDB,
)
from fdsl_gen.variants._parametric import Parametric, searched_layout, searched_of, searched_rows
from fdsl_gen.variants.base import ImageSpec, Job, Rendered, SearchedIfs

LETTERS = "abcdefghijkl"
RING_VIEWS = 12
MAX_CANDIDATES = 100_000


@dataclass(frozen=True, kw_only=True)
class ExFractalDb(Parametric):
    """Settings of the 3-D sets. Instance = view * weights used + weight (ours)."""

    KIND: ClassVar[str] = "exfractaldb"
    SEARCHED: ClassVar[bool] = True
    CITATION: ClassVar[str] = "\n".join(
        (KATAOKA_2022_REPLACING, YAMADA_2021_MVFRACTALDB, NAKAMURA_2023_OFDB)
    )
    TABLE: ClassVar[TableLayout] = searched_layout(LETTERS)

    image_size: int = setting(224, doc="side of the image, pixels", low=8, high=8192)
    num_points: int = setting(9_999, doc="points of the model", low=2, high=10_000_000)
    points: int | None = setting(
        None, doc="store so many of them beside every image", low=1, high=10_000_000
    )
    viewpoints: Literal["sphere", "ring"] = setting(
        "sphere", doc="fresh viewpoints on the sphere, or 12 in a ring"
    )
    ring_jitter: float = setting(
        3.1416, doc="ring viewpoints are turned by U(-jitter, jitter), degrees", low=0.0, high=180.0
    )
    num_weights: Literal[25, 145] = setting(25, doc="rows of the table of weights")
    weight_table: Literal["corrected", "released"] = setting(
        "corrected", doc="released: row 109 of the table of 145 is i x 0.6 instead of i x 1.6"
    )
    first_weight: Literal["released", "identity"] = setting(
        "released", doc="whether weight 0 is the table's first row or the system itself"
    )
    weights_used: int | None = setting(None, doc="only so many rows, the first ones", low=1)
    num_maps_min: int = setting(2, doc="fewest maps of a category", low=1, high=64)
    num_maps_max: int = setting(7, doc="most maps of a category", low=1, high=64)
    variance: float = setting(
        0.05, doc="least variance of a category's points along each axis", low=0.0, high=1.0
    )

    def __post_init__(self) -> None:
        check_ranges(self, ["num_maps"])
        if self.variance >= 1.0:
            raise UsageError(
                "variance: points between -1 and 1 never have a variance above 1; lower it"
            )
        if self.points is not None and self.points > self.num_points:
            raise UsageError(
                f"points: must be at most num_points ({self.num_points:,}), not {self.points:,}"
            )
        if self.weights_used is not None and self.weights_used > self.num_weights:
            raise UsageError(
                f"weights_used: must be at most num_weights ({self.num_weights}),"
                f" not {self.weights_used}"
            )

    @property
    def image(self) -> ImageSpec:
        return ImageSpec(height=self.image_size, width=self.image_size, levels=(0, 255))

    @property
    def has_points(self) -> bool:
        return self.points is not None

    @property
    def max_instances(self) -> int | None:
        return RING_VIEWS * self._used if self.viewpoints == "ring" else None

    def nominal_bytes(self, num_categories: int) -> int:
        """Measured at 224 pixels, without points: 3.2 kB on the sphere, 3.0 kB on the ring."""
        return 1_600 + self.image_size**2 // 32 + 12 * (self.points or 0)

    @property
    def _used(self) -> int:
        return self.weights_used or self.num_weights

    def work_group(self, instance: int) -> int:
        return instance % self._used

    def shared_parameters(self, seed: int) -> Mapping[str, Any]:
        return {"weights": self.weights().rows}

    def weights(self) -> WeightTable:
        """The 25 or 145 rows of the table."""
        steps = 1 if self.num_weights == 25 else 6
        factors = [round(1 + k / 10, 1) for k in range(-steps, steps + 1) if k]
        unchanged_at = 0 if self.first_weight == "identity" else steps
        table = WeightTable.of_factors(LETTERS, factors, unchanged_at)
        if self.num_weights == 145 and self.weight_table == "released":
            return table.with_row(9 * len(factors), ("i", 0.6))
        return table

    def _model(
        self, affine_NK: NDArray[np.float64], cumulative_N: NDArray[np.float64], key: Key
    ) -> NDArray[np.float64] | None:
        """Points of a system that follow a map sequence of their own, or None if it diverges."""
        uniform_P = np.empty(self.num_points)
        maps_P = np.empty(self.num_points, np.uint8)
        point_3P = np.empty((3, self.num_points))
        chaos.sample_uniforms(key.words, uniform_P)
        chaos.choose_maps(uniform_P, cumulative_N, maps_P)
        return point_3P if space.wander(maps_P, affine_NK, point_3P) else None

    def category_rows(self, category: SearchedIfs) -> Sequence[Row]:
        return searched_rows(category, LETTERS)

    def category_of_rows(self, index: int, key: Key, rows: Rows) -> SearchedIfs:
        return searched_of(index, key, rows, LETTERS)

    def sample_category(self, index: int, key: Key) -> SearchedIfs:
        """The first candidate that spreads along every axis and stays finite with all weights."""
        patience = Patience(f"category {index}", MAX_CANDIDATES)
        for candidate in range(MAX_CANDIDATES):
            patience.tried(candidate)
            stream = Stream(key.derive("candidate", index, candidate))
            affine_NK = ifs.sample_uniform(stream, self.num_maps_min, self.num_maps_max, 12)
            cumulative_N = ifs.cumulative_probabilities(affine_NK)
            own = key.derive("candidate sequence", index, candidate)
            point_3P = self._model(affine_NK, cumulative_N, own)
            mean_3, variance_3 = np.empty(3), np.empty(3)
            if point_3P is None or not space.normalize(point_3P, mean_3):
                continue
            space.variances(point_3P, mean_3, variance_3)
            least = min(variance_3.tolist())
            if not least > self.variance:
                continue
            found = SearchedIfs(index, key, affine_NK, cumulative_N, candidate + 1, least)
            if all(self._weight_stays_finite(found, w) for w in range(self.num_weights)):
                return found
        raise RenderError(
            f"category {index}: none of {MAX_CANDIDATES:,} systems has a variance above"
            f" {self.variance:g} along every axis; lower variance"
        )

    def _weight_stays_finite(self, found: SearchedIfs, weight: int) -> bool:
        return self._weighted_model(found, weight) is not None

    def _weighted_model(self, found: SearchedIfs, weight: int) -> NDArray[np.float64] | None:
        """The normalized model of a category and weight: what all its views show."""
        own = found.key.derive("trajectory", found.index, weight)
        point_3P = self._model(self.weights().apply(found.affine, weight), found.cumulative, own)
        if point_3P is None or not space.normalize(point_3P, np.empty(3)):
            return None
        return point_3P

    def render(self, jobs: Iterable[Job]) -> Iterator[Rendered]:
        """Images in the order of ``jobs``; neighbors of one work group share their model."""
        for (_, weight), group in groupby(
            jobs, lambda job: (job.category.index, self.work_group(job.instance))
        ):
            first, *rest = group
            point_3P = self._weighted_model(first.category, weight)
            if point_3P is None:  # only of a table: others are accepted with all weights finite
                raise RenderError(f"category {first.category.index}, weight {weight} diverges")
            points = self._stored_points(point_3P)
            for job in (first, *rest):
                image, facts = self._view(job, weight, point_3P)
                yield Rendered(image, points=points, parameters=facts)

    def _stored_points(self, point_3P: NDArray[np.float64]) -> NDArray[np.float32] | None:
        """Points of a model, evenly spaced in its trajectory, float32 (N, 3)."""
        if self.points is None:
            return None
        place_N = np.arange(self.points) * point_3P.shape[1] // self.points
        return np.ascontiguousarray(point_3P[:, place_N].T, np.float32)

    def _view(
        self, job: Job, weight: int, point_3P: NDArray[np.float64]
    ) -> tuple[NDArray[np.uint8], dict[str, int | float | str]]:
        """An image, and its parameters."""
        view = job.instance // self._used
        stream = Stream(job.key)
        if self.viewpoints == "ring":
            turn = stream.uniform(-self.ring_jitter, self.ring_jitter)
            direction = camera.on_ring(30.0 * view + 30.0 + turn)
        else:
            direction = camera.on_sphere(stream)
        camera_43 = camera.look_from(direction)
        image = np.zeros((self.image_size, self.image_size), np.uint8)
        space.project(point_3P, camera_43, image)
        x, y, z = camera_43[0].tolist()
        facts: dict[str, int | float | str] = {"weight": weight, "view": view}
        return image, facts | {"camera_x": x, "camera_y": y, "camera_z": z}
