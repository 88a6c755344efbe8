"""1p-frac: one fractal and its perturbations.

Nakamura et al., "Scaling Backwards: Minimal Synthetic Pre-training?", ECCV 2024, arXiv 2408.00677,
section 3. A base system of N maps is drawn once; category c is one perturbation of it, with one
image. Where paper and released generator differ (the paper adds noise, the released code
multiplies), the default is the released generator and the other is a setting.

Ours: which bases are accepted. The released loop redraws perturbations until an image is full
enough, which for a fifth of all bases at sigma 3.5 never happens. Here a base is accepted if at
least half of 100 probe perturbations are full enough.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.core import keys
from fdsl_gen.core.errors import RenderError, UsageError
from fdsl_gen.core.keys import Key
from fdsl_gen.core.patience import Patience
from fdsl_gen.core.settings import setting
from fdsl_gen.geometry import ifs
from fdsl_gen.geometry.category_table import Row, Rows, TableLayout
from fdsl_gen.variants import _planar
from fdsl_gen.variants._citations import NAKAMURA_2024_SCALING
from fdsl_gen.variants._parametric import Parametric, affine_of, affine_rows, coefficients
from fdsl_gen.variants.base import Category, ImageSpec, Job, Rendered

NUM_PROBES = 100
PROBES_NEEDED = 50
MAX_BASES = 1_000
MAX_ATTEMPTS = 10_000
LANES = 64  # attempts drawn side by side; memory and speed, never pixels


class Base(NamedTuple):
    """The unperturbed system of a dataset."""

    number: int  # candidates rejected before it; -1 if given in the recipe
    affine_N6: NDArray[np.float64]
    cumulative_N: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Perturbed(Category):
    """A category: a base, and a key for the perturbations that are tried."""

    base: Base


# Bases that this process has found: a memory of a pure function.
_BASES: "dict[tuple[Fractal1, int], Base]" = {}


@dataclass(slots=True)
class _Pending:
    """A job that has no accepted image yet."""

    position: int
    job: Job
    attempts: int = 0


@dataclass(frozen=True, kw_only=True)
class Fractal1(Parametric):
    """Settings of 1p-frac."""

    KIND: ClassVar[str] = "fractal-1"
    CITATION: ClassVar[str] = NAKAMURA_2024_SCALING
    TABLE: ClassVar[TableLayout] = TableLayout(coefficients("abcdef"), part="map", shared=True)

    image_size: int = setting(512, doc="side of the image, pixels", low=16, high=8192)
    num_points: int = setting(100_000, doc="points of the trajectory", low=1, high=100_000_000)
    num_maps: int = setting(2, doc="maps of the base system", low=1, high=64)
    sigma_factor: float = setting(3.5, doc="center of the range of the base's sigma-factor")
    sigma_spread: float = setting(0.1, doc="half-width of that range", low=0.0)
    perturbation: Literal["multiplicative", "additive"] = setting(
        "multiplicative",
        doc="how coefficients are perturbed: times U(1-d, 1+d) or plus U(-d/2, d/2)",
    )
    delta: float = setting(0.1, doc="size d of the perturbation", low=0.0)
    draw: _planar.Draw = setting(
        "patch", doc="what is drawn at a point: random 3x3, full 3x3, pixel"
    )
    map_sequence: Literal["shared", "per_instance"] = setting(
        "shared", doc="one published sequence of maps for all images, or one for each"
    )
    filling_rate: float = setting(
        0.05, doc="images must fill more than this part of their pixels", low=0.0, high=1.0
    )
    base: tuple[tuple[float, ...], ...] | None = setting(
        None, doc="the base as a list of maps [a, b, c, d, e, f], instead of a drawn one"
    )

    def __post_init__(self) -> None:
        most = _planar.most_pixels(self.num_points, self.image_size, self.draw)
        area = self.image_size**2
        if most <= self.filling_rate * area:
            raise UsageError(
                f"filling_rate: {self.num_points:,} points drawn as {self.draw} reach at most"
                f" {most:,} of {area:,} pixels, so no image fills more than"
                f" {self.filling_rate:g}; lower it, or give more num_points"
            )
        if self.base is not None and self.has_table:
            raise UsageError("base: give base or categories_from, not both")
        if self.base is None:
            if not self.has_table:
                self._sigma_range()
            return
        if not self.base or any(len(row) != 6 for row in self.base):
            raise UsageError("base: must be a list of maps of six numbers [a, b, c, d, e, f]")
        ifs.cumulative_probabilities(np.array(self.base))

    def _sigma_range(self) -> tuple[float, float]:
        low, high = self.sigma_factor - self.sigma_spread, self.sigma_factor + self.sigma_spread
        return ifs.sigma_range(low, high, self.num_maps)

    @property
    def image(self) -> ImageSpec:
        side = self.image_size
        return ImageSpec(height=side, width=side, levels=(0, _planar.VALUE))

    @property
    def max_instances(self) -> int | None:
        return 1

    def nominal_bytes(self, num_categories: int) -> int:
        """Measured: 16.7 kB at 512 pixels; with a fixed number of points, about as the area."""
        return 1_600 + self.image_size**2 // 17

    def category(self, index: int, key: Key) -> Perturbed:
        return self.sample_category(index, key)

    def sample_category(self, index: int, key: Key) -> Perturbed:
        return Perturbed(index, key, find_base(self, key.seed))

    def category_rows(self, category: Perturbed) -> Sequence[Row]:
        return affine_rows(category.base.affine_N6, "abcdef")

    def category_of_rows(self, index: int, key: Key, rows: Rows) -> Perturbed:
        return Perturbed(index, key, _given_base(affine_of(rows, "abcdef")))

    def load_cached(self, seed: int, shared: Mapping[str, Any]) -> None:
        number = shared["rejected_bases"]
        if self.base is not None or self.has_table:
            return  # given
        if type(number) is not int or not 0 <= number < MAX_BASES:
            return  # no number of a candidate
        base = _candidate(self, seed, number)
        if base.affine_N6.tolist() != shared["base"]:
            raise ValueError(f"the base is not candidate {number}")
        _BASES[self, seed] = base

    def shared_parameters(self, seed: int) -> Mapping[str, Any]:
        base = find_base(self, seed)
        return {"base": base.affine_N6.tolist(), "rejected_bases": base.number}

    def render(self, jobs: Iterable[Job]) -> Iterator[Rendered]:
        """Images in the order of ``jobs``; each category's first perturbation that is full enough.

        Attempts of different jobs are drawn together; an image is held back until those before it
        are done.
        """
        numbered = enumerate(jobs)
        patience = Patience("a perturbation that fills the image", MAX_ATTEMPTS)
        pending: list[_Pending] = []
        done: dict[int, Rendered] = {}
        next_out = 0
        while True:
            room = LANES - len(pending) if len(done) < LANES else 0
            pending += [_Pending(position, job) for position, job in islice(numbered, room)]
            if not pending:
                return
            patience.tried(max(one.attempts for one in pending))
            for one, rendered in zip(pending, self._attempt_all(pending), strict=True):
                one.attempts += 1
                if rendered is not None:
                    done[one.position] = rendered
            pending = [one for one in pending if one.position not in done]
            while next_out in done:
                yield done.pop(next_out)
                next_out += 1

    def _attempt_all(self, pending: list[_Pending]) -> list[Rendered | None]:
        """The next attempt of every pending job: an image, or None where it is not full enough."""
        for one in pending:
            if one.attempts == MAX_ATTEMPTS:
                raise RenderError(
                    f"category {one.job.category.index}: none of {MAX_ATTEMPTS:,} perturbations"
                    f" fills more than {self.filling_rate:g} of the image; lower filling_rate or"
                    " delta"
                )
        categories = [one.job.category for one in pending]
        instance_keys = [
            c.key.derive("try", c.index, one.attempts)
            for one, c in zip(pending, categories, strict=True)
        ]
        affine_LN6, canvases, rates = self._attempts(categories[0].base, instance_keys)
        images: list[Rendered | None] = []
        for one, affine_N6, canvas, rate in zip(pending, affine_LN6, canvases, rates, strict=True):
            if rate > self.filling_rate:
                image = _planar.to_image(canvas, self.image_size)
                facts = {"attempts": one.attempts + 1, "filling_rate": rate}
                images.append(Rendered(image, parameters=facts | ifs.named(affine_N6)))
            else:
                images.append(None)
        return images

    def _attempts(
        self, base: Base, instance_keys: list[Key]
    ) -> tuple[NDArray[np.float64], NDArray[np.uint64], list[float]]:
        """Perturbed systems, float64 (L, N, 6), their bit images and how full these are.

        One of each for each key.
        """
        affine_LN6 = perturb(base.affine_N6, self.perturbation, self.delta, instance_keys)
        masks = np.stack(
            [key.derive(f"{key.role} patch", *key.indices).words for key in instance_keys]
        )
        if self.map_sequence == "shared":
            maps_T = _planar.shared_sequence(self.num_points, base.cumulative_N)
            canvases = _planar.draw(affine_LN6, maps_T, self.image_size, self.draw, masks)
        else:
            drawn = []
            for lane, key in enumerate(instance_keys):
                own = key.derive(f"{key.role} sequence", *key.indices).words
                maps_T = _planar.fresh_sequence(self.num_points, base.cumulative_N, own)
                one = slice(lane, lane + 1)
                drawn.append(
                    _planar.draw(affine_LN6[one], maps_T, self.image_size, self.draw, masks[one])
                )
            canvases = np.concatenate(drawn)
        return affine_LN6, canvases, _planar.filling_rates(canvases, self.image_size).tolist()

    def accepts(self, base: Base, key: Key) -> bool:
        """Whether at least half of 100 probe perturbations of a base are full enough."""
        passed = 0
        for first in range(0, NUM_PROBES, LANES):
            left = NUM_PROBES - first
            if passed >= PROBES_NEEDED or passed + left < PROBES_NEEDED:
                break
            probes = range(first, first + min(LANES, left))
            instance_keys = [key.derive(key.role, *key.indices, j) for j in probes]
            _, _, rates = self._attempts(base, instance_keys)
            passed += sum(rate > self.filling_rate for rate in rates)
        return passed >= PROBES_NEEDED


def perturb(
    affine_N6: NDArray[np.float64], perturbation: str, delta: float, instance_keys: list[Key]
) -> NDArray[np.float64]:
    """Perturbations of a system, float64 (L, N, 6); every coefficient is drawn on its own.

    ``multiplicative``: times U(1 - delta, 1 + delta), as in the released code. ``additive``: plus
    U(-delta/2, delta/2), as in section 3.2 of the paper.
    """
    words = np.stack([key.words for key in instance_keys])
    shape = (len(instance_keys), *affine_N6.shape)
    if perturbation == "multiplicative":
        return affine_N6 * keys.uniforms(words, affine_N6.size, 1 - delta, 1 + delta).reshape(shape)
    return affine_N6 + keys.uniforms(words, affine_N6.size, -delta / 2, delta / 2).reshape(shape)


def find_base(settings: Fractal1, seed: int) -> Base:
    """The base of a dataset: given in the settings, or the first candidate that is accepted.

    Raises:
        RenderError: if none of the first 1,000 candidates is.
    """
    if (settings, seed) not in _BASES:
        _BASES[settings, seed] = _search_base(settings, seed)
    return _BASES[settings, seed]


def _candidate(settings: Fractal1, seed: int, number: int) -> Base:
    """A base as it is sampled, accepted or not."""
    low, high = settings._sigma_range()
    stream = keys.Stream(Key(seed, "base", (number,)))
    affine_N6 = ifs.sample_contractive(stream, settings.num_maps, stream.uniform(low, high))
    return Base(number, affine_N6, ifs.cumulative_probabilities(affine_N6))


def _given_base(affine_N6: NDArray[np.float64]) -> Base:
    return Base(-1, affine_N6, ifs.cumulative_probabilities(affine_N6))


def _search_base(settings: Fractal1, seed: int) -> Base:
    if settings.base is not None:
        return _given_base(np.array(settings.base))
    if settings.has_table:
        return _given_base(affine_of(settings.table()[0], "abcdef"))
    patience = Patience("a base whose perturbations fill the image", MAX_BASES)
    for k in range(MAX_BASES):
        patience.tried(k)
        base = _candidate(settings, seed, k)
        if settings.accepts(base, Key(seed, "probe", (k,))):
            return base
    raise RenderError(
        f"none of {MAX_BASES:,} bases has perturbations that fill more than"
        f" {settings.filling_rate:g} of the image; lower filling_rate, or give more num_points"
    )
