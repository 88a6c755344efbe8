"""FractalDB and OFDB-2D: random systems whose attractor fills the image, and their variations.

Kataoka et al., "Pre-training without Natural Images", ACCV 2020 and IJCV 2022, section 3; the few
points of the failure case are from Kataoka et al., "Replacing Labeled Real-image Datasets with
Auto-generated Contours", CVPR 2022, section 5. OFDB-2D: Nakamura et al., "Pre-training Vision
Transformers with Very Limited Synthesized Images", ICCV 2023. Details follow the released code.

Shapes: N maps, P points.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.core.errors import RenderError, UsageError
from fdsl_gen.core.keys import Key, Stream
from fdsl_gen.core.patience import Patience
from fdsl_gen.core.settings import check_ranges, setting
from fdsl_gen.geometry import ifs
from fdsl_gen.geometry.category_table import Row, Rows, TableLayout
from fdsl_gen.geometry.files import read_systems, systems_digest
from fdsl_gen.geometry.weight_table import WeightTable
from fdsl_gen.kernels import chaos, search
from fdsl_gen.variants import _planar
from fdsl_gen.variants._citations import KATAOKA_2022_PRETRAINING, NAKAMURA_2023_OFDB
from fdsl_gen.variants._parametric import Parametric, searched_layout, searched_of, searched_rows
from fdsl_gen.variants.base import ImageSpec, Job, Rendered, SearchedIfs

LETTERS = "abcdef"
NUM_WEIGHTS = 25
NUM_FLIPS = 4
PER_REDRAW = NUM_WEIGHTS * NUM_FLIPS
MAX_CANDIDATES = 100_000
LANES = 4  # trajectories followed side by side; speed, never pixels


@dataclass(frozen=True, kw_only=True)
class FractalDb(Parametric):
    """Settings of FractalDB. Instance = redraw * 100 + weight * 4 + flip (ours)."""

    KIND: ClassVar[str] = "fractaldb"
    SEARCHED: ClassVar[bool] = True
    CITATION: ClassVar[str] = "\n".join((KATAOKA_2022_PRETRAINING, NAKAMURA_2023_OFDB))
    TABLE: ClassVar[TableLayout] = searched_layout(LETTERS)

    image_size: int = setting(362, doc="side of the image, pixels", low=16, high=8192)
    num_points: int = setting(200_000, doc="points of the trajectory", low=1, high=100_000_000)
    draw: _planar.Draw = setting(
        "patch", doc="what is drawn at a point: random 3x3, full 3x3, pixel"
    )
    color: bool = setting(False, doc="color by the number of the point, 128 hues in turn")
    channel_order: Literal["released", "rgb"] = setting(
        "released", doc="of color images: red and blue exchanged, as released, or not"
    )
    map_sequence: Literal["shared", "per_instance"] = setting(
        "shared", doc="one published sequence of maps for all images, or one for each weight"
    )
    weight: float = setting(
        0.4, doc="step w of the table of weights 1-2w, 1-w, 1+w, 1+2w", low=0.0, high=10.0
    )
    first_weight: Literal["released", "identity"] = setting(
        "released", doc="whether weight 0 is a x (1 - 2w), as released, or the system itself"
    )
    num_maps_min: int = setting(2, doc="fewest maps of a category", low=1, high=64)
    num_maps_max: int = setting(7, doc="most maps of a category", low=1, high=64)
    filling_rate: float = setting(
        0.2, doc="categories must fill this part of the search image", low=0.0, high=1.0
    )
    search_points: int = setting(100_000, doc="points of the search image", low=1, high=10**8)
    search_size: int = setting(512, doc="side of the search image, pixels", low=16, high=8192)
    categories_from: str | None = setting(
        None,
        doc="take categories from a table, as fdsl-gen categories writes it (CSV), from a folder of"
        " official CSV files or an .npz (maps, offsets)",
        identity=False,
        stored=False,
    )

    def __post_init__(self) -> None:
        check_ranges(self, ["num_maps"])
        most = _planar.most_pixels(self.search_points, self.search_size, "point")
        if not self.has_table and most < self._pixels_needed:
            raise UsageError(
                f"filling_rate: {self.search_points:,} search_points reach at most {most:,} of"
                f" {self.search_size**2:,} pixels, so no system fills {self.filling_rate:g}; lower"
                " it, or give more search_points"
            )

    @property
    def _pixels_needed(self) -> int:
        """Pixels of the search image that a category must fill."""
        return int(np.ceil(self.filling_rate * self.search_size**2))

    @classmethod
    def read_rows(cls, path: str) -> tuple[Rows, ...]:
        if Path(path).is_dir() or path.endswith(".npz"):
            return read_systems(path)
        return super().read_rows(path)

    @classmethod
    def digest_of_rows(cls, entries: tuple[Rows, ...]) -> str:
        return systems_digest(entries)

    @property
    def image(self) -> ImageSpec:
        side = self.image_size
        if self.color:
            return ImageSpec(height=side, width=side, channels=3)
        return ImageSpec(height=side, width=side, levels=(0, _planar.VALUE))

    @property
    def max_instances(self) -> int | None:
        """Without random patches there is nothing to redraw."""
        return None if self.draw == "patch" else PER_REDRAW

    def nominal_bytes(self, num_categories: int) -> int:
        """Measured at 362 pixels: 14 kB in patches, 9 kB in points, 57 kB in color."""
        area = self.image_size**2
        if self.color:
            return 1_600 + area * 4 // 10
        return 1_600 + area // (17 if self.draw == "point" else 11)

    def work_group(self, instance: int) -> int:
        return (instance % PER_REDRAW) // NUM_FLIPS

    def shared_parameters(self, seed: int) -> Mapping[str, Any]:
        return {"weights": self.weights().rows}

    def weights(self) -> WeightTable:
        """The 25 rows of the table."""
        # the nearest doubles of the decimals, as in the released files
        factors = [round(1 + k * self.weight, 12) for k in (-2, -1, 1, 2)]
        unchanged_at = 0 if self.first_weight == "identity" else 2
        return WeightTable.of_factors(LETTERS, factors, unchanged_at)

    def category_rows(self, category: SearchedIfs) -> Sequence[Row]:
        return searched_rows(category, LETTERS)

    def category_of_rows(self, index: int, key: Key, rows: Rows) -> SearchedIfs:
        return searched_of(index, key, rows, LETTERS)

    def sample_category(self, index: int, key: Key) -> SearchedIfs:
        """The first candidate that fills the search image; candidates are keyed by category."""
        side_pad = np.array([self.search_size, _planar.PAD])
        foreground = np.empty((self.search_size, self.search_size), np.uint8)
        uniform_T = np.empty(self.search_points - 1)
        maps_T = np.empty(self.search_points - 1, np.uint8)
        needed = self._pixels_needed
        patience = Patience(f"category {index}", MAX_CANDIDATES)
        for candidate in range(MAX_CANDIDATES):
            patience.tried(candidate)
            stream = Stream(key.derive("candidate", index, candidate))
            affine_N6 = ifs.sample_uniform(stream, self.num_maps_min, self.num_maps_max)
            cumulative_N = ifs.cumulative_probabilities(affine_N6)
            own = key.derive("candidate sequence", index, candidate)
            chaos.sample_uniforms(own.words, uniform_T)
            chaos.choose_maps(uniform_T, cumulative_N, maps_T)
            count = search.fill_points(affine_N6, maps_T, side_pad, needed, foreground)
            if count >= needed:
                rate = count / self.search_size**2
                return SearchedIfs(index, key, affine_N6, cumulative_N, candidate + 1, rate)
        raise RenderError(
            f"category {index}: none of {MAX_CANDIDATES:,} systems fills {self.filling_rate:g} of"
            " the image; lower filling_rate, or give more search_points"
        )

    def render(self, jobs: Iterable[Job]) -> Iterator[Rendered]:
        """Images in the order of ``jobs``; neighbors of one work group share their trajectory."""
        waiting: list[tuple[tuple[int, int], list[Job]]] = []
        for key, group in groupby(
            jobs, lambda job: (job.category.index, self.work_group(job.instance))
        ):
            waiting.append((key, list(group)))
            if len(waiting) == LANES:
                yield from self._render_groups(waiting)
                waiting = []
        yield from self._render_groups(waiting)

    def _render_groups(self, groups: list[tuple[tuple[int, int], list[Job]]]) -> Iterator[Rendered]:
        systems, sequences = [], []
        for (_, weight), jobs in groups:
            category = jobs[0].category
            systems.append(self.weights().apply(category.affine, weight))
            sequences.append(self._sequence(category, weight))
        for (_, jobs), affine_N6, pixel_T in zip(
            groups, systems, _planar.pixels(systems, sequences, self.image_size), strict=True
        ):
            yield from self._draw_group(jobs, affine_N6, pixel_T)

    def _sequence(self, category: SearchedIfs, weight: int) -> NDArray[np.uint8]:
        if self.map_sequence == "shared":
            return _planar.shared_sequence(self.num_points, category.cumulative)
        own = category.key.derive("sequence", category.index, weight)
        return _planar.fresh_sequence(self.num_points, category.cumulative, own.words)

    def _draw_group(
        self, jobs: list[Job], affine_N6: NDArray[np.float64], pixel_T: NDArray[np.int32]
    ) -> Iterator[Rendered]:
        """The images of one trajectory: its redraws, each in up to four flips."""
        drawn: dict[int, NDArray[np.uint8]] = {}
        facts: dict[str, int | float | str] = dict(ifs.named(affine_N6))
        for job in jobs:
            redraw, rest = divmod(job.instance, PER_REDRAW)
            weight, flip = divmod(rest, NUM_FLIPS)
            if redraw not in drawn:
                drawn = {redraw: self._draw(job, redraw, weight, pixel_T)}
            image = drawn[redraw]
            flipped = image[:: -1 if flip in (1, 3) else 1, :: -1 if flip in (2, 3) else 1]
            own: dict[str, int | float | str] = {"weight": weight, "flip": flip, "redraw": redraw}
            yield Rendered(np.ascontiguousarray(flipped), parameters=own | facts)

    def _draw(
        self, job: Job, redraw: int, weight: int, pixel_T: NDArray[np.int32]
    ) -> NDArray[np.uint8]:
        key = job.key.derive("patch", job.category.index, weight, redraw)
        if self.color:
            return _planar.draw_colored(
                pixel_T, self.image_size, self.draw, key, self.channel_order
            )
        canvas = _planar.draw_pixels(pixel_T, self.image_size, self.draw, key.words)
        return _planar.to_image(canvas, self.image_size)
