"""Attention over an image, for every head."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fdsl_train.analysis.figures.save import new_figure, save

_COLUMNS = 6  # panels in a row, at most
_SIDE = 2.2  # inches of a panel


def draw_heads(
    path: Path, image: NDArray[np.uint8], heads: NDArray[np.float32], title: str
) -> None:
    """Draw the image, and beside it the mean of the heads and every head.

    All panels have one scale, of square roots, which keeps a single bright patch from hiding the
    rest. The number is the share of the attention that all patches together get; what is left goes
    to the class token itself and to others without a place.

    Args:
        path: of the picture.
        image: uint8 (H, W, 3).
        heads: float32 (heads, rows, columns).
        title: above it.
    """
    panels = [("mean", heads.mean(axis=0))] if len(heads) > 1 else []
    panels += [(f"head {number}", head) for number, head in enumerate(heads)]
    if len(heads) == 1:
        panels = [("", heads[0])]
    columns = min(_COLUMNS, len(panels) + 1)
    rows = -(-(len(panels) + 1) // columns)
    figure = new_figure(_SIDE * columns, (_SIDE + 0.3) * rows + 0.4)
    figure.suptitle(f"attention of the class token, {title}")
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in places:
        axes.set_axis_off()
    places[0].imshow(image)
    places[0].set_title("image", fontsize=9)
    from matplotlib.colors import PowerNorm

    scale = PowerNorm(0.5, vmin=0.0, vmax=max(100.0 * float(heads.max()), 1e-9))
    for axes, (name, attention) in zip(places[1:], panels, strict=False):
        drawn = axes.imshow(100.0 * attention, cmap="inferno", norm=scale, interpolation="nearest")
        share = f"{100 * float(attention.sum()):.0f} % on patches"
        axes.set_title(f"{name}, {share}" if name else share, fontsize=9)
    figure.colorbar(drawn, ax=list(places), label="% of the attention on a patch", shrink=0.8)
    save(figure, path)
