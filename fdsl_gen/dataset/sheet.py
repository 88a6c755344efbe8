"""Images in rows on a page, with a title, captions, and keys to the colors of masks."""

import textwrap
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

TILE = 192  # pixels
_CAPTION = 18
_GAP = 6
_SIDE_LABEL = 150  # left of the rows of a grid, pixels
_BACKGROUND = (24, 24, 28)
_CAPTION_COLOR = (225, 225, 225)
_LETTER = 7  # pixels, of the widest letters of a caption on average
_MORE = 12  # pixels, of the dots where a key has no room
_BRIGHT = 150  # gray level that the brightest pixels of a sheet should have at least ...
_SHARE = 99.8  # ... at this percentile

# Hues that can be told apart, by people with any kind of color vision as well (Okabe and Ito).
HUES = np.array(
    [
        [230, 159, 0],
        [86, 180, 233],
        [0, 158, 115],
        [240, 228, 66],
        [0, 114, 178],
        [213, 94, 0],
        [204, 121, 167],
        [255, 255, 255],
    ],
    dtype=np.uint8,
)

Color = tuple[int, int, int]


def contact_sheet(
    images: Sequence[NDArray[np.uint8]],
    captions: Sequence[str],
    columns: int,
    tile: int = TILE,
    title: str = "",
    keys: Sequence[Sequence[tuple[Color, str]]] = (),
) -> Image.Image:
    """Images in rows, each over its caption.

    Args:
        images: uint8 (H, W) or (H, W, 3), of any size.
        captions: one for each, of one or several lines.
        columns: images in a row.
        tile: side of an image on the sheet, pixels.
        title: above all, wrapped.
        keys: for each image, colors and what they mean, behind its caption; empty: none at all.
    """
    rows = -(-len(images) // columns)
    most = max((caption.count("\n") + 1 for caption in captions), default=1)
    step_x, step_y = tile + _GAP, tile + most * _CAPTION + _GAP
    width = columns * step_x + _GAP
    lines = textwrap.wrap(title, max(20, width // _LETTER))
    head = len(lines) * _CAPTION + (_GAP if lines else 0)
    sheet = Image.new("RGB", (width, head + rows * step_y + _GAP), _BACKGROUND)
    drawing = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(12)
    for number, line in enumerate(lines):
        drawing.text((_GAP + 2, _GAP + number * _CAPTION), line, fill=_CAPTION_COLOR, font=font)
    for k, (image, caption) in enumerate(zip(images, captions, strict=True)):
        left = _GAP + (k % columns) * step_x
        top = head + _GAP + (k // columns) * step_y
        _paste(sheet, image, left, top, tile)
        end = left + tile - _MORE
        for number, line in enumerate(caption.split("\n")):
            text = _shortened(drawing, line, font, tile - 4)
            at = (left + 2, top + tile + 2 + number * _CAPTION)
            drawing.text(at, text, fill=_CAPTION_COLOR, font=font)
        place = left + 8 + drawing.textlength(text, font=font)
        for color, meaning in keys[k] if keys else ():
            wanted = 14 + drawing.textlength(meaning, font=font) + 6
            if place + wanted > end:
                drawing.text((place, top + tile + 2), "...", fill=_CAPTION_COLOR, font=font)
                break
            middle = top + tile + 5
            drawing.rectangle((place, middle, place + 9, middle + 9), fill=color)
            drawing.text((place + 13, top + tile + 2), meaning, fill=_CAPTION_COLOR, font=font)
            place += wanted
    return sheet


def in_lines(text: str, tile: int, most: int) -> str:
    """A caption in lines as wide as a tile, so many at most."""
    lines = textwrap.wrap(text, tile // _LETTER, max_lines=most, placeholder=" ...")
    return "\n".join(lines).replace("\N{NO-BREAK SPACE}", " ")  # which the font does not have


def grid_sheet(
    images: Sequence[Sequence[NDArray[np.uint8]]],
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    title: str,
    tile: int = TILE,
) -> Image.Image:
    """A grid whose rows and columns have labels.

    Args:
        images: by row, then by column; uint8 (H, W) or (H, W, 3).
        row_labels: left of the rows.
        column_labels: above the columns.
        title: above all.
        tile: side of an image on the sheet, pixels.
    """
    step = tile + _GAP
    width = _SIDE_LABEL + len(column_labels) * step + _GAP
    lines = textwrap.wrap(title, max(20, width // _LETTER))
    head = (len(lines) + 1) * _CAPTION + _GAP
    sheet = Image.new("RGB", (width, head + len(row_labels) * step + _GAP), _BACKGROUND)
    drawing = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(12)

    def write(x: float, y: float, text: str) -> None:
        drawing.text((x, y), text, fill=_CAPTION_COLOR, font=font)

    for number, line in enumerate(lines):
        write(_GAP + 2, _GAP + number * _CAPTION, line)
    for column, label in enumerate(column_labels):
        write(_SIDE_LABEL + column * step + 2, len(lines) * _CAPTION + _GAP, label)
    for row, (label, own) in enumerate(zip(row_labels, images, strict=True)):
        top = head + row * step
        for number, line in enumerate(textwrap.wrap(label, _SIDE_LABEL // _LETTER)):
            write(_GAP + 2, top + number * _CAPTION, line)
        for column, image in enumerate(own):
            _paste(sheet, image, _SIDE_LABEL + column * step, top, tile)
    return sheet


def _paste(sheet: Image.Image, image: NDArray[np.uint8], left: int, top: int, tile: int) -> None:
    sheet.paste(Image.fromarray(in_tile(image, tile)).convert("RGB"), (left, top))


def in_tile(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """An image as it stands on a sheet, uint8 (side, side) or (side, side, 3)."""
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BOX))


def _shortened(
    drawing: ImageDraw.ImageDraw, text: str, font: "ImageFont.ImageFont | ImageFont.FreeTypeFont",
    width: float,
) -> str:  # fmt: skip
    """As much of a text as has room."""
    if drawing.textlength(text, font=font) <= width:
        return text
    while text and drawing.textlength(text + "...", font=font) > width:
        text = text[:-1]
    return text + "..."


def brightened(
    images: Sequence[NDArray[np.uint8]], tile: int = TILE
) -> tuple[list[NDArray[np.uint8]], float]:
    """Tiles of a dim set as an eye can see them, all by the same factor.

    Args:
        images: uint8 (H, W) or (H, W, 3).
        tile: their side on the sheet: thin lines are dimmer there.

    Returns:
        Tiles, uint8 (tile, tile) or (tile, tile, 3), and the factor; 1 where the set is bright
        enough.
    """
    tiles = [in_tile(image, tile) for image in images]
    brightest = max(float(np.percentile(shown, _SHARE)) for shown in tiles)
    if brightest >= _BRIGHT or brightest <= 0:
        return tiles, 1.0
    factor = 255.0 / brightest
    table = np.minimum(255.0, np.round(np.arange(256) * factor)).astype(np.uint8)
    return [table[shown] for shown in tiles], factor


def colored(mask: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], list[tuple[Color, int]]]:
    """A mask in a hue for each of its values, and the key to them.

    Args:
        mask: uint8 (H, W); 0, the background, is black.

    Returns:
        uint8 (H, W, 3); color and value, in the order of the values. Hues repeat after eight.
    """
    values = [int(value) for value in np.unique(mask) if value]
    palette = np.zeros((256, 3), np.uint8)
    for place, value in enumerate(values):
        palette[value] = HUES[place % len(HUES)]
    key = [(_color(palette[value]), value) for value in values]
    image: NDArray[np.uint8] = palette[mask]
    return image, key


def _color(value_3: NDArray[np.uint8]) -> Color:
    red, green, blue = value_3.tolist()
    return red, green, blue


def frame(image: NDArray[np.uint8], box_K4: NDArray[np.int64]) -> None:
    """Draw boxes x, y, width, height over an image, uint8 (H, W, 3), in white."""
    for left, top, width, height in box_K4.tolist():
        right, bottom = left + width - 1, top + height - 1
        image[[top, bottom], left : right + 1] = 255
        image[top : bottom + 1, [left, right]] = 255
