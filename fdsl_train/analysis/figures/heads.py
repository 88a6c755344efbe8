"""Attention over an image, for every head."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fdsl_train.analysis.figures.save import new_figure, save

_COLUMNS = 6  # panels in a row, at most
_SIDE = 2.2  # inches of a panel


def draw_heads(
    path: Path, image: NDArray[np.uint8], heads: NDArray[np.float32], title: str
) -> None:
    """Draw the image, then over it the mean of the heads, then every head.

    In every panel white-hot is its own highest attention and clear is none, on a scale of square
    roots, which keeps a single bright patch from hiding the rest. The number is the share of the
    attention that all patches together get; what is left goes to the class token itself and to
    others without a place.

    Args:
        path: of the picture.
        image: uint8 (H, W, 3).
        heads: float32 (heads, rows, columns).
        title: above it.
    """
    panels = [("mean of heads", heads.mean(axis=0))] if len(heads) > 1 else []
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
    faded = np.asarray(Image.fromarray(image).convert("L")) * 0.45
    for axes, (name, attention) in zip(places[1:], panels, strict=False):
        shares = np.sqrt(attention / max(float(attention.max()), 1e-12))
        heat = Image.fromarray(shares.astype(np.float32)).resize(
            (image.shape[1], image.shape[0]), Image.Resampling.BILINEAR
        )
        strength = np.asarray(heat)
        axes.imshow(faded, cmap="gray", vmin=0, vmax=255)
        axes.imshow(strength, cmap="inferno", vmin=0, vmax=1, alpha=0.2 + 0.7 * strength)
        share = f"{100 * float(attention.sum()):.0f} % on patches"
        axes.set_title(f"{name}, {share}" if name else share, fontsize=9)
    save(figure, path)
