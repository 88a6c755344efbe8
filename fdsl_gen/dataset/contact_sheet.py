"""Contact sheets: what a dataset looks like, before or after it is made."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from fdsl_gen.archive.label_types import INSTANCES
from fdsl_gen.archive.label_types.instances import boxes
from fdsl_gen.core.keys import Key, words
from fdsl_gen.dataset.source_image import source_image_of
from fdsl_gen.recipe.jobs import jobs_of
from fdsl_gen.recipe.order import SampleId
from fdsl_gen.recipe.recipe import Recipe
from fdsl_gen.variants.base import Rendered

TILE = 192  # pixels
_CAPTION = 18
_GAP = 6
_BACKGROUND = (24, 24, 28)
_CAPTION_COLOR = (225, 225, 225)
_GOLDEN = (5**0.5 - 1) / 2


def contact_sheet(
    images: Sequence[NDArray[np.uint8]], captions: Sequence[str], columns: int, tile: int = TILE
) -> Image.Image:
    """Images in rows, each over its caption.

    Args:
        images: uint8 (H, W) or (H, W, 3), of any size.
        captions: one for each.
        columns: images in a row.
        tile: side of an image on the sheet, pixels.
    """
    rows = -(-len(images) // columns)
    step_x, step_y = tile + _GAP, tile + _CAPTION + _GAP
    sheet = Image.new("RGB", (columns * step_x + _GAP, rows * step_y + _GAP), _BACKGROUND)
    drawing = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(12)
    for k, (image, caption) in enumerate(zip(images, captions, strict=True)):
        left = _GAP + (k % columns) * step_x
        top = _GAP + (k // columns) * step_y
        shown = Image.fromarray(image).convert("RGB")
        sheet.paste(shown.resize((tile, tile), Image.Resampling.BOX), (left, top))
        drawing.text((left + 2, top + tile + 2), caption, fill=_CAPTION_COLOR, font=font)
    return sheet


def colored(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A mask in one color for each category, the background black, uint8 (H, W, 3)."""
    # A role is part of its key: spelled otherwise, it would give other colors.
    bright = words(Key(0, "mask colours").words, 3 * 256) % np.uint64(192) + np.uint64(64)
    palette = bright.astype(np.uint8).reshape(256, 3)
    palette[0] = 0
    image: NDArray[np.uint8] = palette[mask]
    return image


def frame(image: NDArray[np.uint8], box_K4: NDArray[np.int64]) -> None:
    """Draw boxes x, y, width, height over an image, uint8 (H, W, 3), in white."""
    for left, top, width, height in box_K4.tolist():
        right, bottom = left + width - 1, top + height - 1
        image[[top, bottom], left : right + 1] = 255
        image[top : bottom + 1, [left, right]] = 255


def _spread(total: int, count: int) -> list[int]:
    """``count`` of ``range(total)`` from end to end, evenly; all if there are not so many."""
    if count >= total:
        return list(range(total))
    return [k * (total - 1) // max(count - 1, 1) for k in range(count)]


def _scattered(total: int, count: int) -> list[int]:
    """``count`` of ``range(total)``, one from each of as many equal parts, the first one 0.

    Instances are numbered through views, weights and flips in turn, and even steps might always
    meet the same of them. So the place in the parts follows the golden section.
    """
    picked = sorted({int((k + k * _GOLDEN % 1) * total / count) for k in range(count)})
    return picked if len(picked) == count <= total else _spread(total, count)


def preview_samples(recipe: Recipe, num_categories: int, num_instances: int) -> list[SampleId]:
    """Samples from the whole range of categories and instances of a dataset."""
    if recipe.variant.SCENE:
        return [SampleId(-1, i) for i in _spread(recipe.num_images, num_categories)]
    return [
        SampleId(c, i)
        for c in _spread(recipe.num_categories, num_categories)
        for i in _scattered(recipe.num_instances, num_instances)
    ]


class Preview(NamedTuple):
    """The images of a contact sheet.

    Attributes:
        drawn: samples and their images.
        columns: images in a row.
    """

    drawn: list[tuple[SampleId, Rendered]]
    columns: int


def draw_preview(
    recipe: Recipe,
    num_categories: int | None = None,
    columns: int = 6,
    cache: Path | None = None,
) -> Preview:
    """Draw images from the whole range of a dataset.

    One-instance sets show 24 categories; others show a category in each row.

    Args:
        recipe: what to draw.
        num_categories: how many categories to show.
        columns: images in a row.
        cache: folder of categories that were found before.
    """
    single = recipe.num_instances == 1
    rows = 4 // recipe.variant.LABEL_TYPE.panels  # masks take as much room again
    count = num_categories or (rows * columns if single else 6)
    samples = preview_samples(recipe, count, 1 if single else columns)
    drawn = recipe.variant.render(jobs_of(recipe, samples, cache))
    width = columns if single else min(columns, recipe.num_instances)
    return Preview(list(zip(samples, drawn, strict=True)), width)


def preview_png(recipe: Recipe, preview: Preview) -> bytes:
    """A contact sheet as PNG bytes.

    Masks stand in colors beside their images, and the image that a dataset is made from stands
    first.
    """
    images: list[NDArray[np.uint8]] = []
    captions: list[str] = []
    source = source_image_of(recipe)
    if source is not None:
        images, captions = [source], ["source"]
    for sample, drawn in preview.drawn:
        images.append(drawn.image)
        captions.append(sample.key.replace("_", " / "))
        if drawn.mask is not None:
            panel = colored(drawn.mask)
            if recipe.variant.LABEL_TYPE == INSTANCES:
                frame(panel, boxes(drawn.mask, len(drawn.labels or ())))
            images.append(panel)
            captions.append("mask" if drawn.labels is None else f"{len(drawn.labels)} instances")
    panels = recipe.variant.LABEL_TYPE.panels
    width = preview.columns + -preview.columns % panels  # a mask stays beside its image
    buffer = io.BytesIO()
    contact_sheet(images, captions, min(width, len(images))).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def categories_png(recipe: Recipe, cache: Path | None) -> bytes:
    """One image of every category, up to 1,000 of them, small, as PNG bytes."""
    samples = [SampleId(c, 0) for c in range(min(1000, recipe.num_categories))]
    images = [drawn.image for drawn in recipe.variant.render(jobs_of(recipe, samples, cache))]
    columns = min(len(images), max(6, math.isqrt(2 * len(images))))
    buffer = io.BytesIO()
    sheet = contact_sheet(images, [str(s.category) for s in samples], columns, tile=72)
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
