"""Contact sheets: what a dataset looks like, before or after it is made."""

import contextlib
import dataclasses
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fdsl_gen.archive import png
from fdsl_gen.archive.label_types import INSTANCES
from fdsl_gen.archive.label_types.instances import boxes
from fdsl_gen.core import settings
from fdsl_gen.core.errors import UsageError
from fdsl_gen.dataset.sheet import (
    TILE,
    Color,
    brightened,
    colored,
    contact_sheet,
    frame,
    grid_sheet,
    in_lines,
)
from fdsl_gen.recipe.jobs import jobs_of
from fdsl_gen.recipe.order import SampleId
from fdsl_gen.recipe.recipe import Recipe, load_recipe
from fdsl_gen.variants.base import Rendered

_GOLDEN = (5**0.5 - 1) / 2
_LINES = 5  # of parameters
_SMALL, _FEW = 72, 100  # tile of many categories; so many have room for their parameters


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
    first. Dim sets are brightened for the eye, and the title says so.
    """
    images: list[NDArray[np.uint8]] = []
    captions: list[str] = []
    keys: list[list[tuple[Color, str]]] = []
    shown, factor = brightened([drawn.image for _, drawn in preview.drawn])
    if "source" in recipe.variant.inputs:
        source = png.decode(recipe.variant.input_bytes("source"))
        images, captions, keys = [source], ["source"], [[]]
    for (sample, drawn), image in zip(preview.drawn, shown, strict=True):
        images.append(image)
        captions.append(_caption(recipe, sample, drawn))
        keys.append([])
        if drawn.mask is not None:
            panel, key = colored(drawn.mask)
            if recipe.variant.LABEL_TYPE == INSTANCES:
                frame(panel, boxes(drawn.mask, len(drawn.labels or ())))
            images.append(panel)
            captions.append("mask" if drawn.labels is None else f"{len(drawn.labels)} instances")
            keys.append([(color, str(value)) for color, value in key if drawn.labels is None])
    panels = recipe.variant.LABEL_TYPE.panels
    width = preview.columns + -preview.columns % panels  # a mask stays beside its image
    sheet = contact_sheet(
        images, captions, min(width, len(images)), title=title_of(recipe, factor), keys=keys
    )
    return _png(sheet)


def title_of(recipe: Recipe, factor: float = 1.0, without: Sequence[str] = ()) -> str:
    """What a sheet shows: the recipe, its seed, and the settings that are not those by default.

    Args:
        recipe: of the images.
        factor: by which they were brightened.
        without: names of settings that the sheet says elsewhere.
    """
    values = settings.to_dict(recipe.variant, defaults=False)
    with contextlib.suppress(UsageError):  # a recipe of the user's own
        published = settings.to_dict(load_recipe(recipe.name).variant, defaults=True)
        values = {
            name: value
            for name, value in settings.to_dict(recipe.variant, defaults=True).items()
            if value != published.get(name)
        }
    # Places and digests of files say nothing to the eye, and places are not the same everywhere.
    shown = {
        field.name
        for field in dataclasses.fields(recipe.variant)
        if field.metadata["identity"] and field.metadata["derived"] is None
    }
    own = [f"{name} {values[name]}" for name in values if name in shown and name not in without]
    seed = [] if "seed" in without else [f"seed {recipe.seed}"]
    light = [f"brightened {factor:.1f} times"] if factor > 1 else []
    return ", ".join([recipe.name, *own, *seed, *light])


def _caption(recipe: Recipe, sample: SampleId, drawn: Rendered) -> str:
    """Which sample it is, and its labels where it has several."""
    if not recipe.variant.SCENE:
        instance = f" / instance {sample.instance}" if recipe.num_instances > 1 else ""
        return f"category {sample.category}{instance}"
    several = drawn.labels is not None and drawn.mask is None
    labels = f": {' '.join(map(str, drawn.labels or ()))}" if several else ""
    return f"image {sample.instance}{labels}"


def _png(sheet: Image.Image) -> bytes:
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def categories_png(recipe: Recipe, cache: Path | None) -> bytes:
    """One image of every category, up to 1,000 of them, as PNG bytes.

    Up to a hundred show the first of their parameters as well.
    """
    samples = [SampleId(c, 0) for c in range(min(1000, recipe.num_categories))]
    drawn = list(recipe.variant.render(jobs_of(recipe, samples, cache)))
    few = len(drawn) <= _FEW
    tile = TILE if few else _SMALL
    images, factor = brightened([one.image for one in drawn], tile)
    captions = [str(s.category) for s in samples]
    if few:
        captions = [
            in_lines(f"{name}: {_parameters(one)}", tile, _LINES)
            for name, one in zip(captions, drawn, strict=True)
        ]
    columns = min(len(images), 6 if few else max(6, math.isqrt(2 * len(images))))
    title = title_of(recipe, factor)
    return _png(contact_sheet(images, captions, columns, tile, title))


def _parameters(drawn: Rendered) -> str:
    """Parameters in short; a caption cuts off what has no room, and breaks between them."""
    return ", ".join(
        f"{name}\N{NO-BREAK SPACE}{value:.3g}"
        if isinstance(value, float)
        else f"{name}\N{NO-BREAK SPACE}{value}"
        for name, value in drawn.parameters.items()
    )


def sweep_png(recipes: Sequence[Sequence[Recipe]], rows: Sequence[str], columns: Sequence[str],
              swept: Sequence[str]) -> bytes:  # fmt: skip
    """The same sample of several recipes in a grid, as PNG bytes.

    Args:
        recipes: by row, then by column.
        rows, columns: what they differ in.
        swept: names of the settings that differ.
    """
    first = recipes[0][0]
    sample = SampleId(-1 if first.variant.SCENE else 0, 0)
    drawn = [
        next(iter(recipe.variant.render(jobs_of(recipe, [sample])))).image
        for row in recipes
        for recipe in row
    ]
    images, factor = brightened(drawn)
    width = len(columns)
    grid = [images[i * width : (i + 1) * width] for i in range(len(rows))]
    what = "image 0" if first.variant.SCENE else "category 0"
    title = f"{title_of(first, factor, swept)}; {what}"
    return _png(grid_sheet(grid, rows, columns, title))
