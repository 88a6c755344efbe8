"""What the colored fractal datasets share: settings, categories, chaos games, colors, clouds.

Anderson and Farrell, "Improving Fractal Pre-training", WACV 2022, arXiv 2110.03091. The rules are
those of its released generator.

Ours: a patch is never empty; the order of the draws; draws of what is switched off are made all
the same, so that a switch changes nothing else.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.keys import Key, Stream
from fdsl_gen.core.settings import check_ranges, setting
from fdsl_gen.geometry import ifs
from fdsl_gen.geometry.category_table import Column, Row, Rows, TableLayout
from fdsl_gen.geometry.jitter import fixed_point
from fdsl_gen.kernels import color, compose, diamond_square, splat
from fdsl_gen.kernels.elementary import exp
from fdsl_gen.variants._parametric import Parametric
from fdsl_gen.variants.base import Category, ImageSpec

GRAY = 127  # of a fractal without color
# Steps from hue to hue and of a sixth of the circle: a hue is 2 of 360 degrees, or 1 of 256 parts.
CIRCLES = {"released": np.array([1, 30], np.int32), "full_circle": np.array([3, 128], np.int32)}

Image = NDArray[np.uint8]

CITATION = """\
@inproceedings{anderson2022improving,
  title     = {Improving Fractal Pre-training},
  author    = {Anderson, Connor and Farrell, Ryan},
  booktitle = {IEEE/CVF Winter Conference on Applications of Computer Vision (WACV)},
  pages     = {1300--1309},
  year      = {2022}
}"""


_PLACES = ("11", "12", "21", "22")
_FACTOR_COLUMNS = (
    *(Column(f"u{place}", "entry of U, a rotation", low=-1.0, high=1.0) for place in _PLACES),
    Column("s1", "greater singular value", low=0.0, high=1.0),
    Column("s2", "smaller singular value", low=0.0, high=1.0),
    *(Column(f"v{place}", "entry of V, a rotation", low=-1.0, high=1.0) for place in _PLACES),
    Column("e", "translation along x", low=-1e6, high=1e6),
    Column("f", "translation along y", low=-1e6, high=1e6),
)


@dataclass(frozen=True, slots=True)
class System(Category):
    """A category: a contractive system.

    Attributes:
        factors: what its matrices are made of.
        affine_N6: coefficients.
        sigma: its sigma-factor.
    """

    factors: ifs.Factors
    affine_N6: NDArray[np.float64]
    sigma: float


class Look(NamedTuple):
    """How a fractal is turned and colored."""

    transposed: bool
    rows_flipped: bool
    columns_flipped: bool
    hue_shift: float  # of 256
    saturation: int  # of 255
    value: int  # of 255


class Background(NamedTuple):
    """How clouds look: decay of their amplitude; scale and shift of hue, saturation and value."""

    decay: float
    look_32: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ColoredSettings(Parametric):
    """Settings that all colored fractal datasets have."""

    TABLE: ClassVar[TableLayout] = TableLayout(_FACTOR_COLUMNS, part="map")

    image_size: int = setting(224, doc="side of the image, pixels", low=16, high=2048)
    num_points: int = setting(100_000, doc="points of a trajectory", low=1, high=2_000_000)
    num_maps_min: int = setting(2, doc="least maps of a category", low=2, high=64)
    num_maps_max: int = setting(4, doc="most maps of a category", low=2, high=64)
    sigma_offset_min: float = setting(
        5.0, doc="N maps have a sigma-factor of at least (this + N) / 2", low=0.0, high=1000.0
    )
    sigma_offset_max: float = setting(
        6.0, doc="N maps have a sigma-factor of at most (this + N) / 2", low=0.0, high=1000.0
    )
    flip_probability: float = setting(
        0.5,
        doc="of a transposition, a flip of rows and a flip of columns, each",
        low=0.0,
        high=1.0,
    )
    color: bool = setting(True, doc="colored fractals; otherwise gray 127 where there is a hit")
    background: bool = setting(True, doc="colored clouds behind them; otherwise black")
    hue: Literal["released", "full_circle"] = setting(
        "released", doc="hue h of 256 as angle: 2h degrees, which wraps at 180, or the whole circle"
    )
    hue_shift_min: float = setting(0.0, doc="least hue of a fractal, of 256", low=0, high=1e6)
    hue_shift_max: float = setting(
        255.0, doc="greatest hue where a fractal is least hit, of 256", low=0, high=1e6
    )
    saturation_min: float = setting(0.3, doc="least saturation of a fractal", low=0.0, high=1.0)
    saturation_max: float = setting(1.0, doc="greatest saturation", low=0.0, high=1.0)
    value_min: float = setting(0.5, doc="least brightness of a fractal", low=0.0, high=1.0)
    value_max: float = setting(1.0, doc="greatest brightness", low=0.0, high=1.0)
    cloud_decay_min: float = setting(
        0.4, doc="least decay of the clouds' amplitude from level to level", low=0.0, high=50.0
    )
    cloud_decay_max: float = setting(0.8, doc="greatest decay", low=0.0, high=50.0)
    cloud_hue_scale_min: float = setting(
        0.25, doc="least factor from heights (0 to 1) to hues", low=0.0, high=100.0
    )
    cloud_hue_scale_max: float = setting(1.0, doc="greatest factor", low=0.0, high=100.0)
    cloud_hue_shift_min: float = setting(0.0, doc="least hue at height 0", low=0.0, high=100.0)
    cloud_hue_shift_max: float = setting(1.0, doc="greatest hue at height 0", low=0.0, high=100.0)
    cloud_saturation_scale_min: float = setting(
        0.1, doc="least factor from heights to saturations", low=0.0, high=100.0
    )
    cloud_saturation_scale_max: float = setting(0.3, doc="greatest factor", low=0.0, high=100.0)
    cloud_saturation_shift_min: float = setting(
        0.4, doc="least saturation at height 0", low=0.0, high=1.0
    )
    cloud_saturation_shift_max: float = setting(
        0.6, doc="greatest saturation at height 0", low=0.0, high=1.0
    )
    cloud_value_scale_min: float = setting(
        0.3, doc="least factor from heights to brightness", low=0.0, high=100.0
    )
    cloud_value_scale_max: float = setting(0.6, doc="greatest factor", low=0.0, high=100.0)
    cloud_value_shift_min: float = setting(
        0.4, doc="least brightness at height 0", low=0.0, high=1.0
    )
    cloud_value_shift_max: float = setting(
        0.6, doc="greatest brightness at height 0", low=0.0, high=1.0
    )
    blur_probability: float = setting(0.5, doc="of a blur of the whole image", low=0.0, high=1.0)
    blur_sigma_min: float = setting(
        0.5, doc="least deviation of the blur, pixels", low=0.0, high=100.0, above=True
    )
    blur_sigma_max: float = setting(
        1.0, doc="greatest deviation of the blur, pixels", low=0.0, high=100.0, above=True
    )

    def __post_init__(self) -> None:
        lowest = [field.name for field in fields(self) if field.name.endswith("_min")]
        check_ranges(self, [name.removesuffix("_min") for name in lowest])
        try:
            self.sigma_range(self.num_maps_min)
        except UsageError:
            raise UsageError(
                f"sigma_offset_min: must be less than {5 * self.num_maps_min}, five times"
                f" num_maps_min, not {self.sigma_offset_min:g}"
            ) from None

    def between(self, stream: Stream, name: str) -> float:
        """A draw of U(<name>_min, <name>_max)."""
        return stream.uniform(getattr(self, f"{name}_min"), getattr(self, f"{name}_max"))

    def sigma_range(self, num_maps: int) -> tuple[float, float]:
        """Sigma-factors of categories of N maps."""
        low, high = self.sigma_offset_min, self.sigma_offset_max
        return ifs.sigma_range((low + num_maps) / 2, (high + num_maps) / 2, num_maps)

    @property
    def gray(self) -> bool:
        """Whether images have one channel."""
        return not (self.color or self.background)

    @property
    def hides_blanks(self) -> bool:
        """Clouds are behind what may not be there."""
        return self.background

    @property
    def image(self) -> ImageSpec:
        side = self.image_size
        return ImageSpec(height=side, width=side, channels=1 if self.gray else 3)

    def sample_category(self, index: int, key: Key) -> System:
        stream = Stream(key)
        num_maps = stream.integer(self.num_maps_min, self.num_maps_max)
        sigma = stream.uniform(*self.sigma_range(num_maps))
        factors = ifs.sample_factors(stream, num_maps, sigma)
        return System(index, key, factors, ifs.compose(factors), sigma)

    def category_rows(self, category: System) -> Sequence[Row]:
        names = [column.name for column in _FACTOR_COLUMNS]
        parts = (part.reshape(len(part), -1) for part in category.factors)
        rows = np.concatenate(list(parts), axis=1).tolist()
        return [dict(zip(names, row, strict=True)) for row in rows]

    def category_of_rows(self, index: int, key: Key, rows: Rows) -> System:
        names = [column.name for column in _FACTOR_COLUMNS]
        value_NK = np.array([[row[name] for name in names] for row in rows], np.float64)
        left_N4, singular_N2, right_N4, translation_N2 = np.split(value_NK, [4, 6, 10], axis=1)
        factors = ifs.Factors(
            left_N4.reshape(-1, 2, 2).copy(),
            singular_N2.copy(),
            right_N4.reshape(-1, 2, 2).copy(),
            translation_N2.copy(),
        )
        sigma = 0.0
        for s1, s2 in singular_N2.tolist():
            sigma += s1 + 2 * s2
        return System(index, key, factors, ifs.compose(factors), sigma)

    def sample_look(self, stream: Stream) -> Look:
        """Flips and color of a fractal."""
        return Look(
            transposed=stream.uniform() < self.flip_probability,
            rows_flipped=stream.uniform() < self.flip_probability,
            columns_flipped=stream.uniform() < self.flip_probability,
            hue_shift=self.between(stream, "hue_shift"),
            saturation=int(255 * self.between(stream, "saturation")),
            value=int(255 * self.between(stream, "value")),
        )

    def paint(self, hits_HW: NDArray[np.int32], greatest: int, look: Look, image: Image) -> None:
        """Paint a fractal, turned and colored, over an image of its size."""
        turned = hits_HW.T if look.transposed else hits_HW
        turned = turned[::-1] if look.rows_flipped else turned
        turned = turned[:, ::-1] if look.columns_flipped else turned
        palette = np.zeros((257, 3), np.uint8)
        palette[:256] = GRAY
        if self.color:
            levels = np.int32(look.saturation), np.int32(look.value)
            color.mix_palette(*levels, CIRCLES[self.hue], palette)
        most, shift = float(max(greatest, 1)), look.hue_shift
        color.paint_hits(np.ascontiguousarray(turned), most, shift, palette, image)

    def sample_background(self, stream: Stream) -> Background:
        """What the clouds of an image follow from."""
        decay = self.between(stream, "cloud_decay")
        look = [
            [self.between(stream, f"cloud_{name}_{part}") for part in ("scale", "shift")]
            for name in ("hue", "saturation", "value")
        ]
        return Background(decay, np.array(look))

    def paint_background(self, background: Background, key: Key) -> Image:
        """A background, uint8 (H, W, 3); black if there is none.

        Args:
            background: of the image.
            key: of the image; the heights of its clouds have a stream of their own.
        """
        image = np.zeros((self.image_size, self.image_size, 3), np.uint8)
        if self.background:
            side = 2 ** (self.image_size - 1).bit_length() + 1
            grid_SS = np.empty((side, side))
            words = key.derive(f"{key.role} clouds", *key.indices).words
            diamond_square.grow_clouds(words, background.decay, grid_SS)
            color.paint_clouds(grid_SS, background.look_32, CIRCLES[self.hue], image)
        return image

    def sample_blur(self, stream: Stream) -> float:
        """Deviation of an image's blur, pixels; 0 if it has none."""
        blurred = stream.uniform() < self.blur_probability
        sigma = self.between(stream, "blur_sigma")
        return sigma if blurred else 0.0

    def finish(self, image: Image, sigma: float) -> Image:
        """The image blurred, and with one channel where that is all it holds."""
        if sigma > 0.0:
            compose.blur(blur_weight(sigma), image)
        return np.ascontiguousarray(image[:, :, 0]) if self.gray else image


def blur_weight(sigma: float) -> int:
    """Outer weight of a blur in 256ths: round(256 e / (1 + 2e)), e = exp(-1 / (2 sigma^2))."""
    e = exp(-1.0 / (2.0 * sigma * sigma))
    return int(256.0 * e / (1.0 + 2.0 * e) + 0.5)


def facts(look: Look) -> dict[str, int | float]:
    """A look by names, for the metadata of an image."""
    return {name: float(v) if name == "hue_shift" else int(v) for name, v in look._asdict().items()}


def sample_patch(stream: Stream) -> NDArray[np.int32]:
    """A 3x3 patch, U{1..511}: cells row by row from the highest bit, int32 (3, 3)."""
    bits = stream.integer(1, 511)
    return np.array([bits >> (8 - k) & 1 for k in range(9)], np.int32).reshape(3, 3)


class Game(NamedTuple):
    """A chaos game: a system, and the key of its map sequence."""

    affine_N6: NDArray[np.float64]
    key: Key


class Window(NamedTuple):
    """The part of an axis that a canvas shows."""

    low: float
    high: float

    def scale(self, side: int) -> float:
        """Pixels from ``low`` on per unit; 0 for a window without extent (ours)."""
        extent = self.high - self.low
        return (side - 1) / extent if extent > 0.0 else 0.0


class Played(NamedTuple):
    """A game that was played; its points are good until the next four are.

    Attributes:
        x_P, y_P: points.
        extents: the least windows that show all of them.
    """

    x_P: NDArray[np.float64]
    y_P: NDArray[np.float64]
    extents: tuple[Window, Window]


class Table:
    """Room for chaos games of P points, side by side; used again and again."""

    def __init__(self, num_points: int) -> None:
        shape = (splat.LANES, num_points)
        self._maps_4P = np.zeros(shape, np.uint8)
        self._point_24P = np.empty((2, *shape))
        self._cell_P = np.empty(num_points, np.int32)

    def play(self, games: Sequence[Game]) -> Iterator[Played]:
        """Points of the games, in their order; each begins at the fixed point of its first map."""
        for first in range(0, len(games), splat.LANES):
            four = games[first : first + splat.LANES]
            most = max(len(game.affine_N6) for game in four)
            affine_4N6 = np.zeros((splat.LANES, most, 6))
            start_42 = np.zeros((splat.LANES, 2))
            self._maps_4P[len(four) :] = 0
            for lane, (affine_N6, key) in enumerate(four):
                affine_4N6[lane, : len(affine_N6)] = affine_N6
                start_42[lane] = fixed_point(affine_N6[0])
                cumulative_N = ifs.cumulative_probabilities(affine_N6)
                splat.choose_maps(key.words, cumulative_N, self._maps_4P[lane])
            bounds_422 = np.empty((splat.LANES, 2, 2))
            splat.follow_four(self._maps_4P, affine_4N6, start_42, self._point_24P, bounds_422)
            for lane in range(len(four)):
                x, y = (Window(*bounds) for bounds in bounds_422[lane].tolist())
                yield Played(self._point_24P[0, lane], self._point_24P[1, lane], (x, y))

    def hits(
        self, played: Played, windows: tuple[Window, Window], patch_33: NDArray[np.int32], side: int
    ) -> tuple[NDArray[np.int32], int]:
        """Hits of a patch put at every point, int32 (side, side), and the greatest of them.

        Args:
            played: points.
            windows: shown of x (rows) and y (columns).
            patch_33: 0 or 1.
            side: of the canvas, pixels.
        """
        window_4 = np.array([part for one in windows for part in (one.low, one.scale(side))])
        width = side + 2 * splat.MARGIN
        count_RC = np.empty((width, width), np.int32)
        splat.count_points(played.x_P, played.y_P, window_4, self._cell_P, count_RC)
        hits_HW = np.empty((side, side), np.int32)
        return hits_HW, int(splat.spread_patch(count_RC, patch_33, hits_HW))
