"""Which classes are taken for which."""

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsl_train.analysis.figures.save import new_figure, save

MOST_CLASSES = 1000
_NAMED = 60  # with more classes their names would overlap
_COUNTED = 20  # with more, numbers would not fit their cells


def _square_roots(highest: float) -> Any:
    """Shades by the square root of a value, from 0 to ``highest``."""
    from matplotlib.colors import PowerNorm

    return PowerNorm(0.5, vmin=0.0, vmax=highest)


def draw_confusion(
    path: Path, confusion: NDArray[np.int64], names: tuple[str, ...], title: str
) -> None:
    """Draw shares of every class as shades, classes without images left white.

    Args:
        path: of the picture.
        confusion: (C, C), images of class i (row) taken for class j.
        names: of the classes.
        title: above it.
    """
    count = len(names)
    images = confusion.sum(axis=1, keepdims=True)
    shares = np.where(images > 0, 100.0 * confusion / np.maximum(images, 1), np.nan)
    side = float(np.clip(2.5 + 0.28 * min(count, _NAMED), 5, 16))
    figure = new_figure(side + 1, side)
    axes = figure.subplots()
    # Square roots, so that what happens to one image in fifty can still be seen.
    drawn = axes.imshow(shares, cmap="Blues", norm=_square_roots(100.0), interpolation="nearest")
    figure.colorbar(drawn, ax=axes, label="% of the images of a class, square roots", shrink=0.8)
    wrapped = "\n".join(textwrap.wrap(title, max(30, int(9 * side))))
    axes.set(title=wrapped, xlabel="taken for", ylabel="class")
    if count <= _NAMED:
        size = 9 if count <= 30 else 7
        turned = 90 if max(len(name) for name in names) > 3 else 0
        axes.set_xticks(range(count), names, rotation=turned, fontsize=size)
        axes.set_yticks(range(count), names, fontsize=size)
    if count <= _COUNTED:
        for row, column in np.argwhere(confusion > 0):
            shade = "white" if shares[row, column] > 35 else "black"
            number = str(confusion[row, column])
            axes.text(column, row, number, ha="center", va="center", color=shade, fontsize=8)
    save(figure, path)
