"""Images of 2-D chaos games, many at a time: what the planar fractal datasets share.

The rules are those of the released FractalDB generator (Kataoka et al., "Pre-training without
Natural Images", IJCV 2022, section 3.1), on which 1p-frac and OFDB build.
Shapes: L images drawn side by side, N maps, P points, T of them in a block.
"""

from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.core.keys import Key
from fdsl_gen.kernels import chaos, raster

Draw = Literal["patch", "fill", "point"]

_MODES = {"patch": 0, "fill": 1, "point": 2}
VALUE = 127  # gray of a drawn pixel
PAD = 6  # border, pixels
_BLOCK = 1022  # points between two visits of a canvas, a multiple of raster.MASKS_PER_WORD
_WIDE = 32  # systems from which on the loops over lanes are the faster ones
_TOGETHER = 4  # trajectories kept at a time where they are not, 16 bytes a point
_SHARED_SEED = 100  # the released code reseeds NumPy's legacy generator with it for every image


@lru_cache(maxsize=4)
def _shared_uniforms(num_points: int) -> NDArray[np.float64]:
    # RandomState is frozen by NumPy's policy, and this sequence is part of the published datasets.
    return np.random.RandomState(_SHARED_SEED).random_sample(num_points)


def _sequence(
    uniform_T: NDArray[np.float64], cumulative_N: NDArray[np.float64]
) -> NDArray[np.uint8]:
    maps_T = np.zeros(len(uniform_T), np.uint8)
    chaos.choose_maps(uniform_T[:-1], cumulative_N, maps_T)
    return maps_T


@lru_cache(maxsize=8)
def _shared_sequence(num_points: int, cumulative: bytes) -> NDArray[np.uint8]:
    return _sequence(_shared_uniforms(num_points), np.frombuffer(cumulative))


def shared_sequence(num_points: int, cumulative_N: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The map sequence that all published images share, uint8 (P,); the last entry is not used."""
    return _shared_sequence(num_points, cumulative_N.tobytes())


def fresh_sequence(
    num_points: int, cumulative_N: NDArray[np.float64], key: NDArray[np.uint64]
) -> NDArray[np.uint8]:
    """A map sequence of its own, uint8 (P,); the last entry is not used."""
    uniform_T = np.empty(num_points)
    chaos.sample_uniforms(key, uniform_T)
    return _sequence(uniform_T, cumulative_N)


def _windows(
    maps_T: NDArray[np.uint8], affine_N6L: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """What each trajectory is rescaled by, float64 (4, L), and how many points are kept."""
    lanes = affine_N6L.shape[2]
    point_2L = np.zeros((2, lanes))
    bounds_4L = np.zeros((4, lanes))
    chaos.follow(maps_T[:-1], affine_N6L, point_2L, bounds_4L)
    kept_L = np.full(lanes, len(maps_T))
    for lane in np.flatnonzero(np.isnan(point_2L[0])).tolist():
        bounds_4 = np.empty(4)
        kept_L[lane] = chaos.follow_diverging(maps_T[:-1], affine_N6L[:, :, lane].copy(), bounds_4)
        bounds_4L[:, lane] = bounds_4
    return _window(bounds_4L), kept_L


def _window(bounds_4L: NDArray[np.float64]) -> NDArray[np.float64]:
    """Low x, extent x, low y, extent y from bounds, float64 (4, L).

    The trajectory begins at the origin, so the lower bounds are never above 0.
    """
    with np.errstate(over="ignore"):
        extent_2L = bounds_4L[1::2] - bounds_4L[::2]
    extent_2L[extent_2L == 0.0] = 1.0  # an axis of zero extent lies on the border line (ours)
    return np.stack([bounds_4L[0], extent_2L[0], bounds_4L[2], extent_2L[1]])


def draw(
    affine_LN6: NDArray[np.float64],
    maps_T: NDArray[np.uint8],
    side: int,
    mode: Draw,
    mask_keys: NDArray[np.uint64],
) -> NDArray[np.uint64]:
    """Draw L systems that follow one map sequence.

    Args:
        affine_LN6: coefficients.
        maps_T: map sequence, uint8 (P,).
        side: of the square image, pixels.
        mode: what is drawn at a point.
        mask_keys: keys of the patch masks, uint64 (L, 2); used by ``patch`` only.

    Returns:
        Bit images (see ``kernels/raster.py``), not flipped yet, uint64 (L, side * words).
    """
    lanes = len(affine_LN6)
    if lanes < _WIDE:
        return _draw_few(affine_LN6, maps_T, side, mode, mask_keys)
    affine_N6L = np.ascontiguousarray(np.moveaxis(affine_LN6, 0, 2))
    window_4L, kept_L = _windows(maps_T, affine_N6L)
    words = np.uint64(raster.canvas_words(side))
    canvases = np.zeros((lanes, side * int(words)), np.uint64)
    point_2L = np.zeros((2, lanes))
    side_pad = np.array([side - 2.0 * PAD, PAD])
    stride = raster.canvas_stride(side)
    pixel_TL = np.empty((_BLOCK, lanes), np.int32)
    for start in range(0, int(kept_L.max()), _BLOCK):
        block_T = maps_T[start : start + _BLOCK]
        chaos.to_pixels(block_T, affine_N6L, point_2L, window_4L, side_pad, stride, pixel_TL)
        here_L = np.maximum(np.minimum(kept_L - start, len(block_T)), 0)
        if mode == "patch":
            raster.stamp_patches(pixel_TL, here_L, start, mask_keys, words, canvases)
        elif mode == "fill":
            raster.stamp_blocks(pixel_TL, here_L, words, canvases)
        else:
            raster.set_points(pixel_TL, here_L, canvases)
    return canvases


def pixels(
    systems: list[NDArray[np.float64]], sequences: list[NDArray[np.uint8]], side: int
) -> list[NDArray[np.int32]]:
    """Pixels of all points kept of systems that each follow a map sequence of their own.

    Args:
        systems: coefficients, float64 (N, 6) each.
        sequences: uint8 (P,) each.
        side: of the square image, pixels.

    Returns:
        For each system row * stride + column, int32 (points kept,).
    """
    if not systems:
        return []
    most = max(len(affine_N6) for affine_N6 in systems)
    affine_LN6 = np.zeros((len(systems), most, 6))
    for lane, affine_N6 in enumerate(systems):
        affine_LN6[lane, : len(affine_N6)] = affine_N6
    maps_LT = np.stack(sequences)
    bounds_L4 = np.empty((len(systems), 4))
    kept_L = np.empty(len(systems), np.int64)
    path_L2P = np.empty((len(systems), 2, maps_LT.shape[1]))
    chaos.walk(maps_LT, affine_LN6, path_L2P, bounds_L4, kept_L)
    window_L4 = np.ascontiguousarray(_window(bounds_L4.T).T)
    side_pad = np.array([side - 2.0 * PAD, PAD])
    stride = raster.canvas_stride(side)
    found = []
    for path_2P, window_4, kept in zip(path_L2P, window_L4, kept_L.tolist(), strict=True):
        pixel_P = np.empty(kept, np.int32)
        chaos.path_to_pixels(path_2P, window_4, side_pad, stride, pixel_P)
        found.append(pixel_P)
    return found


def draw_pixels(
    pixel_T: NDArray[np.int32], side: int, mode: Draw, mask_key: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """One bit image of points whose pixels are known, not flipped yet, uint64 (side * words,)."""
    words = np.uint64(raster.canvas_words(side))
    canvas_L = np.zeros((1, side * int(words)), np.uint64)
    kept_L = np.array([len(pixel_T)])
    if mode == "patch":
        raster.stamp_patches(pixel_T[:, None], kept_L, 0, mask_key[None], words, canvas_L)
    elif mode == "fill":
        raster.stamp_blocks(pixel_T[:, None], kept_L, words, canvas_L)
    else:
        raster.set_points(pixel_T[:, None], kept_L, canvas_L)
    canvas: NDArray[np.uint64] = canvas_L[0]
    return canvas


def draw_colored(
    pixel_T: NDArray[np.int32], side: int, mode: Draw, key: Key, channel_order: str
) -> NDArray[np.uint8]:
    """An image in which point t has hue (t mod 128) / 128, flipped top-bottom, uint8 (H, W, 3)."""
    shade_HW = np.zeros((side, side), np.uint8)  # 0: black; 1 + t mod 128: drawn by point t
    raster.stamp_shades(pixel_T, raster.canvas_stride(side), _MODES[mode], key.words, shade_HW)
    return np.ascontiguousarray(palette(channel_order)[shade_HW[::-1]])


def palette(channel_order: str) -> NDArray[np.uint8]:
    """Black and the 128 colors of FractalDB's color mode, uint8 (129, 3).

    ``released`` exchanges red and blue against the hue's own color, as the released code does.
    """
    colors = [(0, 0, 0)]
    v, low = 191, 47
    for t in range(128):
        k, rest = divmod(6 * t, 128)
        f = rest / 128
        q = int(191.25 * (1 - 0.75 * f))
        r = int(191.25 * (1 - 0.75 * (1 - f)))
        stored = ((low, r, v), (low, v, q), (r, v, low), (v, q, low), (v, low, r), (q, low, v))
        colors.append(stored[k])
    table = np.array(colors, np.uint8)
    return table if channel_order == "released" else table[:, ::-1].copy()


def _draw_few(
    affine_LN6: NDArray[np.float64],
    maps_T: NDArray[np.uint8],
    side: int,
    mode: Draw,
    mask_keys: NDArray[np.uint64],
) -> NDArray[np.uint64]:
    """What :func:`draw` does, for lanes too few for its loops to pay."""
    canvases = []
    for first in range(0, len(affine_LN6), _TOGETHER):
        systems = list(affine_LN6[first : first + _TOGETHER])
        for lane, pixel_P in enumerate(pixels(systems, [maps_T] * len(systems), side), first):
            canvases.append(draw_pixels(pixel_P, side, mode, mask_keys[lane]))
    return np.stack(canvases)


def most_pixels(num_points: int, side: int, mode: Draw) -> int:
    """How many pixels of a square image points can fill at most."""
    reach = max(side - 2 * PAD + 1, 0) + (0 if mode == "point" else 2)
    return min(num_points * (1 if mode == "point" else 9), min(reach, side) ** 2)


def filling_rates(canvases: NDArray[np.uint64], side: int) -> NDArray[np.float64]:
    """Foreground pixels / all pixels of bit images, float64 (L,)."""
    num_foreground: NDArray[np.int64] = np.bitwise_count(canvases).sum(axis=1, dtype=np.int64)
    return num_foreground / (side * side)


def to_image(canvas: NDArray[np.uint64], side: int) -> NDArray[np.uint8]:
    """A bit image as gray levels 0 and 127, flipped top-bottom, uint8 (side, side)."""
    rows = canvas.astype("<u8", copy=False).view(np.uint8).reshape(side, -1)
    foreground = np.unpackbits(rows, axis=1, count=side, bitorder="little")
    return np.ascontiguousarray(foreground[::-1]) * np.uint8(VALUE)
