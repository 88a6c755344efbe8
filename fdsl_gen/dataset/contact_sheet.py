"""Contact sheets: what a dataset looks like, before or after it is made."""

import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from fdsl_gen.build.sample import jobs_of
from fdsl_gen.core.keys import Key, words
from fdsl_gen.dataset.source_image import picture_of
from fdsl_gen.recipe.order import SampleId
from fdsl_gen.recipe.recipe import Recipe

TILE = 192  # pixels
_CAPTION = 18
_GAP = 6
_PAPER = (24, 24, 28)
_INK = (225, 225, 225)


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
    sheet = Image.new("RGB", (columns * step_x + _GAP, rows * step_y + _GAP), _PAPER)
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(12)
    for k, (image, caption) in enumerate(zip(images, captions, strict=True)):
        left = _GAP + (k % columns) * step_x
        top = _GAP + (k // columns) * step_y
        picture = Image.fromarray(image).convert("RGB")
        sheet.paste(picture.resize((tile, tile), Image.Resampling.BOX), (left, top))
        pen.text((left + 2, top + tile + 2), caption, fill=_INK, font=font)
    return sheet


def coloured(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A mask in one colour for each category, the background black, uint8 (H, W, 3)."""
    bright = words(Key(0, "mask colours").words, 3 * 256) % np.uint64(192) + np.uint64(64)
    palette = bright.astype(np.uint8).reshape(256, 3)
    palette[0] = 0
    picture: NDArray[np.uint8] = palette[mask]
    return picture


def preview_samples(recipe: Recipe, num_categories: int, num_instances: int) -> list[SampleId]:
    """The first instances of the first categories of a dataset."""
    if recipe.variant.SCENE:
        return [SampleId(-1, i) for i in range(min(num_categories, recipe.num_images))]
    return [
        SampleId(c, i)
        for c in range(min(num_categories, recipe.num_categories))
        for i in range(min(num_instances, recipe.num_instances))
    ]


def preview_png(
    recipe: Recipe,
    num_categories: int | None = None,
    columns: int = 6,
    cache: Path | None = None,
) -> bytes:
    """A contact sheet as PNG bytes.

    One-instance sets show 24 categories; others show a category in each row. Masks stand in colours
    beside their images, and the picture that a dataset is made from stands first.

    Args:
        recipe: what to draw.
        num_categories: how many categories to show.
        columns: images in a row.
        cache: folder of categories that were found before.
    """
    single = recipe.num_instances == 1
    rows = 2 if recipe.variant.TASK == "segmentation" else 4  # masks take as much room again
    count = num_categories or (rows * columns if single else 6)
    samples = preview_samples(recipe, count, 1 if single else columns)
    images: list[NDArray[np.uint8]] = []
    captions: list[str] = []
    source = picture_of(recipe)
    if source is not None:
        images, captions = [source], ["source"]
    for sample, drawn in zip(
        samples, recipe.variant.render(jobs_of(recipe, samples, cache)), strict=True
    ):
        images.append(drawn.image)
        captions.append(sample.key.replace("_", " / "))
        if drawn.mask is not None:
            images.append(coloured(drawn.mask))
            captions.append("mask")
    width = columns if single else min(columns, recipe.num_instances)
    if recipe.variant.TASK == "segmentation":
        width += width % 2  # a mask stays beside its image
    buffer = io.BytesIO()
    contact_sheet(images, captions, min(width, len(images))).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def categories_png(recipe: Recipe, cache: Path) -> bytes:
    """One image of every category, up to 1,000 of them, small, as PNG bytes."""
    samples = [SampleId(c, 0) for c in range(min(1000, recipe.num_categories))]
    images = [drawn.image for drawn in recipe.variant.render(jobs_of(recipe, samples, cache))]
    columns = min(len(images), max(6, math.isqrt(2 * len(images))))
    buffer = io.BytesIO()
    sheet = contact_sheet(images, [str(s.category) for s in samples], columns, tile=72)
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
