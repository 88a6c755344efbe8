"""Figures of one image, of the kind that papers on synthetic images compare."""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

THUMBNAIL = 32  # pixels
MEASURES = {
    "coverage": "part of the pixels that do not have the commonest value",
    "gray_mean": "mean gray level",
    "gray_levels": "distinct gray levels",
    "entropy": "entropy of the gray levels, bits",
    "spectrum_slope": "slope of the power over the frequency, both as logarithms (photographs: -2)",
    "box_width": "width of the drawing, parts of the image",
    "box_height": "height of the drawing, parts of the image",
    "box_x": "center of the drawing from the left, parts of the image",
    "box_y": "center of the drawing from above, parts of the image",
}
_LUMA = np.array([299, 587, 114], np.uint32)  # ITU-R 601


@dataclass(frozen=True, slots=True)
class Measured:
    """An image in figures.

    Attributes:
        values: of ``MEASURES``, by name; NaN where an image has none.
        histogram: pixels of each gray level, int64 (256,).
        thumbnail: mean grays, float32 (32, 32), less their mean.
        blank: whether all its pixels are equal.
    """

    values: dict[str, float]
    histogram: NDArray[np.int64]
    thumbnail: NDArray[np.float32]
    blank: bool


def measure(image: NDArray[np.uint8]) -> Measured:
    """The figures of an image, uint8 (H, W) or (H, W, 3)."""
    gray = to_gray(image)
    histogram = np.bincount(gray.ravel(), minlength=256)
    drawn = _drawn(image)
    part = histogram[histogram > 0] / gray.size
    values = {
        "coverage": float(drawn.mean()),
        "gray_mean": float(histogram @ np.arange(256) / gray.size),
        "gray_levels": float(np.count_nonzero(histogram)),
        "entropy": float(-(part * np.log2(part)).sum()) + 0.0,
        "spectrum_slope": spectrum_slope(gray),
        **_box(drawn),
    }
    return Measured(values, histogram, _thumbnail(gray), not drawn.any())


def to_gray(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Gray levels of an image, uint8 (H, W), by the weights of ITU-R 601."""
    if image.ndim == 2:
        return image
    gray: NDArray[np.uint8] = ((image * _LUMA).sum(axis=2, dtype=np.uint32) // 1000).astype(
        np.uint8
    )
    return gray


def _drawn(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which pixels do not have the commonest value, bool (H, W)."""
    if image.ndim == 3:
        wide = image.astype(np.uint32)
        packed = wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
        values, counts = np.unique(packed, return_counts=True)
        drawn: NDArray[np.bool_] = packed != values[counts.argmax()]
        return drawn
    drawn = image != np.bincount(image.ravel(), minlength=256).argmax()
    return drawn


def _box(drawn: NDArray[np.bool_]) -> dict[str, float]:
    """Size and center of the box around what is drawn."""
    found = {}
    for name, axis in (("width", 0), ("height", 1)):
        at = np.flatnonzero(drawn.any(axis=axis))
        side = drawn.shape[1 - axis]
        found[name] = (at[-1] + 1 - at[0]) / side if len(at) else np.nan
        found["x" if axis == 0 else "y"] = (at[-1] + 1 + at[0]) / 2 / side if len(at) else np.nan
    return {f"box_{name}": float(value) for name, value in found.items()}


def _thumbnail(gray: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Means of 32 x 32 parts, less their mean."""
    rows, columns = (np.arange(THUMBNAIL) * side // THUMBNAIL for side in gray.shape)
    sums = np.add.reduceat(np.add.reduceat(gray.astype(np.float64), rows, 0), columns, 1)
    heights, widths = (
        np.diff(np.append(at, side)) for at, side in zip((rows, columns), gray.shape, strict=True)
    )
    means = sums / np.maximum(heights[:, None] * widths, 1)
    centered: NDArray[np.float32] = (means - means.mean()).astype(np.float32)
    return centered


def spectrum_slope(gray: NDArray[np.uint8]) -> float:
    """Slope of the logarithm of the power over that of the frequency; NaN for a blank image.

    Power is averaged over rings one cycle wide; the line is fitted from 4 cycles an image to a
    quarter of its side, between what the frame and what the pixels themselves add. A Hann window
    takes off the frame. Photographs have about -2 (Field, "Relations between the statistics of
    natural images and the response properties of cortical cells", 1987).
    """
    side = min(gray.shape)
    square = gray[:side, :side].astype(np.float64)
    window = np.hanning(side)
    square = (square - square.mean()) * window[:, None] * window
    waves = np.fft.rfft2(square)
    power = waves.real**2 + waves.imag**2
    ring, members = _rings(side)
    mean = np.bincount(ring, power.ravel()) / members
    cycles = np.arange(4, max(side // 4, 6))
    cycles = cycles[cycles < len(mean)]
    if len(cycles) < 2 or np.any(mean[cycles] <= 0):
        return float("nan")
    return float(np.polyfit(np.log(cycles), np.log(mean[cycles]), 1)[0])


@functools.lru_cache(maxsize=2)  # the images of a dataset have one size
def _rings(side: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The ring of each frequency of ``rfft2``, and how many each ring has (1 where it has none)."""
    y, x = np.fft.fftfreq(side, 1 / side), np.arange(side // 2 + 1)
    ring = np.rint(np.hypot(y[:, None], x)).astype(np.int64).ravel()
    return ring, np.maximum(np.bincount(ring), 1)


def near_equal(thumbnails: NDArray[np.float32], share: float = 0.02) -> int:
    """Pairs of images whose thumbnails differ by less than ``share`` of their own contrast.

    Args:
        thumbnails: float32 (N, ...), centered.
        share: of the sum of the squares of both. Blank images are left out.
    """
    flat = thumbnails.reshape(len(thumbnails), -1)
    power = (flat**2).sum(axis=1)
    flat, power = flat[power > 0], power[power > 0]
    found = 0
    for k in range(0, len(flat), 512):
        both = power[k : k + 512, None] + power
        apart = both - 2 * flat[k : k + 512] @ flat.T
        found += int(np.count_nonzero(np.triu(apart < share * both, k + 1)))
    return found
