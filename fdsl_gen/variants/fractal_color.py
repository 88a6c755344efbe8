"""Colored fractals over colored clouds, one in an image.

Anderson and Farrell, "Improving Fractal Pre-training", WACV 2022, arXiv 2110.03091. Category c is a
contractive system; an instance changes it a little, looks at it through a random window, and
chooses patch, colors and background. What is shared with multi-fractal, and what is ours, stands
in ``_colored.py``.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.keys import Stream
from fdsl_gen.core.settings import setting
from fdsl_gen.geometry.jitter import Jitter, Kind, jittered
from fdsl_gen.kernels import splat
from fdsl_gen.variants import _colored
from fdsl_gen.variants._colored import (
    Background,
    ColoredSettings,
    Game,
    Look,
    Played,
    Table,
    Window,
)
from fdsl_gen.variants.base import ImageSpec, Job, Rendered


class _Plan(NamedTuple):
    """The draws of an image.

    Attributes:
        game: of its system, changed.
        attempts: that the change took; 0 if the system is unchanged.
        patch_33: put at every point.
        moves: of the window along x and y, in extents of the points.
        sizes: of the window along x and y, in extents of the points.
        look: of the fractal.
        background: of the clouds.
        blur_sigma: deviation of the blur, pixels; 0 for none.
    """

    game: Game
    attempts: int
    patch_33: NDArray[np.int32]
    moves: list[float]
    sizes: list[float]
    look: Look
    background: Background
    blur_sigma: float


@dataclass(frozen=True, kw_only=True)
class FractalColor(ColoredSettings):
    """Settings of the colored fractals."""

    KIND: ClassVar[str] = "fractal-color"
    CITATION: ClassVar[str] = _colored.CITATION

    jitter: Kind = setting(
        "scale",
        doc="how systems are changed: a map scaled, an entry of every map, a factor of a map turned"
        " or moved, its singular values scaled, not at all",
    )
    jitter_attempts: int = setting(
        4, doc="changes tried before a system is left as it is", low=1, high=1000
    )
    jitter_scale_min: float = setting(0.8, doc="least factor of 'scale'", low=0.0, high=100.0)
    jitter_scale_max: float = setting(1.1, doc="greatest factor of 'scale'", low=0.0, high=100.0)
    jitter_level: int = setting(
        1, doc="k of 'entry', whose factors go from 1 - 2k/10 to 1 + 2k/10", low=1, high=5
    )
    jitter_rotation: float = setting(0.5, doc="greatest angle of 'svd', radians", low=0.0, high=4.0)
    jitter_shift: float = setting(
        0.5, doc="greatest move of 'svd' along an axis", low=0.0, high=100.0
    )
    window_shift: float = setting(
        0.2, doc="the window is moved by up to this part of the extent", low=0.0, high=100.0
    )
    window_scale_min: float = setting(
        0.5, doc="least size of the window, of the extent", low=0.0, high=100.0, above=True
    )
    window_scale_max: float = setting(
        2.0, doc="greatest size of the window, of the extent", low=0.0, high=100.0, above=True
    )

    @property
    def image(self) -> ImageSpec:
        spec = super().image
        if self.gray and self.blur_probability == 0.0:
            return ImageSpec(height=spec.height, width=spec.width, levels=(0, _colored.GRAY))
        return spec

    def nominal_bytes(self, num_categories: int) -> int:
        """Measured: 75 kB at 224 pixels; 5 kB in gray."""
        return 1_600 + (self.image_size**2 // 12 if self.gray else self.image_size**2 * 3 // 2)

    def check_files(self) -> None:
        """The table, whose categories may have fewer maps than drawn ones and are varied, too."""
        super().check_files()
        for number, rows in enumerate(self.table() if self.categories_from else ()):
            if self.sigma_offset_min >= 5 * len(rows):
                raise UsageError(
                    f"categories_from: {self.categories_from}: category {number} has"
                    f" {len(rows)} map{'s' * (len(rows) > 1)}, for which sigma_offset_min must be"
                    f" less than {5 * len(rows)}, not {self.sigma_offset_min:g}"
                )

    def jitter_of(self, num_maps: int) -> Jitter:
        """How systems of N maps are changed."""
        return Jitter(
            kind=self.jitter,
            scale=(self.jitter_scale_min, self.jitter_scale_max),
            level=self.jitter_level,
            rotation=self.jitter_rotation,
            shift=self.jitter_shift,
            sigma=self.sigma_range(num_maps),
            attempts=self.jitter_attempts,
        )

    def render(self, jobs: Iterable[Job]) -> Iterator[Rendered]:
        """Images in the order of ``jobs``; the games of several are played side by side."""
        table = Table(self.num_points)
        remaining = iter(jobs)
        while four := list(islice(remaining, splat.LANES)):
            plans = [self._plan(job) for job in four]
            played = table.play([plan.game for plan in plans])
            for job, plan, points in zip(four, plans, played, strict=True):
                yield self._render(job, plan, table, points)

    def _plan(self, job: Job) -> _Plan:
        """The draws of an image. The jitter comes last: how many draws it needs varies."""
        system, key = job.category, job.key
        stream = Stream(key)
        patch_33 = _colored.sample_patch(stream)
        moves = [stream.uniform(-self.window_shift, self.window_shift) for _ in range(2)]
        sizes = [self.between(stream, "window_scale") for _ in range(2)]
        look = self.sample_look(stream)
        background = self.sample_background(stream)
        blur_sigma = self.sample_blur(stream)
        how = self.jitter_of(len(system.affine_N6))
        affine_N6, attempts = jittered(how, stream, system.factors, system.affine_N6)
        game = Game(affine_N6, key.derive(f"{key.role} maps", *key.indices))
        return _Plan(game, attempts, patch_33, moves, sizes, look, background, blur_sigma)

    def _render(self, job: Job, plan: _Plan, table: Table, points: Played) -> Rendered:
        rows, columns = map(_seen, points.extents, plan.moves, plan.sizes)
        image = self.paint_background(plan.background, job.key)
        clouds = image.copy()
        hits_HW, greatest = table.hits(points, (rows, columns), plan.patch_33, self.image_size)
        self.paint(hits_HW, greatest, plan.look, image)
        facts = {
            "num_maps": len(plan.game.affine_N6),
            "sigma_factor": job.category.sigma,
            "jitter_attempts": plan.attempts,
            "patch": "".join(map(str, plan.patch_33.ravel().tolist())),
            "low_x": rows.low,
            "high_x": rows.high,
            "low_y": columns.low,
            "high_y": columns.high,
            "blur_sigma": plan.blur_sigma,
        }
        blank = np.array_equal(image, clouds)
        image = self.finish(image, plan.blur_sigma)
        return Rendered(image, blank=blank, parameters=facts | _colored.facts(plan.look))


def _seen(extent: Window, move: float, size: float) -> Window:
    """A window of ``size`` extents, moved by ``move`` extents from their middle."""
    length = extent.high - extent.low
    center = (extent.low + extent.high) / 2 + length * move
    half = length * size / 2
    return Window(center - half, center + half)
