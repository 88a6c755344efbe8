"""An image, its mask and what a model made of it, side by side."""

import colorsys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fdsl_train.analysis.figures.save import new_figure, save

_SIDE = 3.2  # inches of a panel
_NAMED = 24  # classes in the legend, those with the most pixels
_TURN = 0.61803398875  # of the color wheel from a class to the next: neighbors differ
_IGNORED = 0.6  # gray of pixels without a class


def class_colors(count: int) -> NDArray[np.float64]:
    """A color for each class, RGB in 0..1, (count, 3); class 0, mostly background, is dark."""
    colors = [(0.12, 0.12, 0.12)]
    for label in range(1, count):
        saturation, value = (0.55, 0.85)[label % 2], (0.95, 0.75)[label // 2 % 2]
        colors.append(colorsys.hsv_to_rgb(label * _TURN % 1, saturation, value))
    return np.array(colors)


def draw_overlay(
    path: Path,
    image: Image.Image,
    truth: NDArray[np.int64],
    found: NDArray[np.int64],
    names: tuple[str, ...],
    title: str,
) -> None:
    """Draw the three panels, with a legend of the classes in them.

    Args:
        path: of the picture.
        image: as the user sees it.
        truth: int64 (H, W); below 0 without a class.
        found: int64 (H, W).
        names: of the classes.
        title: above it.
    """
    from matplotlib.patches import Patch

    colors = class_colors(len(names))
    figure = new_figure(3 * _SIDE, _SIDE * truth.shape[0] / truth.shape[1] + 1.1)
    figure.suptitle(title, fontsize=9)
    panels = figure.subplots(1, 3)
    labeled = truth >= 0
    shown = np.where(labeled[..., None], colors[truth.clip(min=0)], _IGNORED)
    for axes, picture, name in zip(
        panels, (image, shown, colors[found]), ("image", "truth", "prediction"), strict=True
    ):
        axes.imshow(picture, cmap="gray", interpolation="nearest")
        axes.set_title(name, fontsize=9)
        axes.set_axis_off()
    counts = np.bincount(truth[labeled], minlength=len(names))
    counts += np.bincount(found.ravel(), minlength=len(names))
    most = [int(label) for label in np.argsort(-counts, kind="stable") if counts[label]][:_NAMED]
    handles = [Patch(color=tuple(colors[label]), label=names[label]) for label in sorted(most)]
    if not labeled.all():
        handles.append(Patch(color=(_IGNORED,) * 3, label="no class"))
    figure.legend(handles=handles, loc="outside lower center", ncols=6, frameon=False, fontsize=8)
    save(figure, path)
