"""Hues to RGB: fractals over an image, and clouds.

A color is given by hue, saturation and value, each 0 .. 255. A channel is
``value (1 - saturation / 255 * w)`` rounded to nearest. In sixths of the circle from red, red is
n = 5, green 3 and blue 1 further on; at k of 6 its w is min(k, 4 - k), not below 0 and not above 1
(A. R. Smith: "Color gamut transform pairs", SIGGRAPH 1978, in one formula). k is kept as a whole
number of steps, so that a channel is a ratio of whole numbers, exact on every machine. Ours: halves
are rounded up.

Shapes: H x W pixels, S x S points of a cloud, 256 hues. ``circle_2``, int32: steps from hue to hue,
and steps of a sixth of the circle.
"""

import numpy as np

from fdsl_gen.core.jit import kernel

_255, _NO_HIT = np.int32(255), np.int32(256)


@kernel
def _channel(hue, saturation, value, ahead, step, sixth):
    """A channel ``ahead`` steps further on than the hue; all int32, less than three turns.

    The division by ``255 sixth`` is a product with its inverse: numerators are below 2**53 and
    whole, so half a unit keeps the product on the right side of every whole number.
    """
    circle = np.int32(6 * sixth)
    k = np.int32(hue * step) + ahead
    k = k - circle if k >= circle else k
    k = k - circle if k >= circle else k
    down = np.int32(4 * sixth) - k
    w = k if k < down else down
    w = w if w < sixth else sixth
    w = w if w > 0 else np.int32(0)
    whole = np.int32(255 * sixth)
    part = np.int32(value * np.int32(whole - np.int32(saturation * w)))
    return np.uint8(np.int32((part + 0.5 * whole + 0.5) * (1.0 / whole)))


@kernel
def mix_palette(saturation, value, circle_2, palette_257x3):
    """Colors of all hues at a saturation and a value.

    Args:
        saturation, value: int32.
        circle_2: steps of the circle.
        palette_257x3: output, uint8; the last row is left as it is.
    """
    step, sixth = circle_2
    for hue in range(256):
        for channel in range(3):
            ahead = np.int32((5 - 2 * channel) * sixth)
            palette_257x3[hue, channel] = _channel(
                np.int32(hue), saturation, value, ahead, step, sixth
            )


@kernel
def _level(x, scale, shift):
    """trunc of 255 (x scale + shift), not below 0 and not above 255."""
    level = 255.0 * (x * scale + shift)
    level = level if level < 255.0 else 255.0
    return np.int32(level if level > 0.0 else 0.0)


@kernel
def paint_clouds(grid_SS, look_32, circle_2, image_HW3):
    """Color the upper left part of a grid of heights.

    Args:
        grid_SS: heights.
        look_32: scale and shift of hue, saturation and value.
        circle_2: steps of the circle.
        image_HW3: output, uint8.
    """
    height, width, _ = image_HW3.shape
    hue_scale, hue_shift = look_32[0]
    saturation_scale, saturation_shift = look_32[1]
    value_scale, value_shift = look_32[2]
    step, sixth = circle_2
    hue_W = np.empty(width, np.int32)
    saturation_W = np.empty(width, np.int32)
    value_W = np.empty(width, np.int32)
    channel_3W = np.empty((3, width), np.uint8)
    for row in range(height):
        height_W = grid_SS[row]
        for column in range(width):
            x = height_W[column]
            hue_W[column] = np.int32(255.0 * (x * hue_scale + hue_shift)) & _255
            saturation_W[column] = _level(x, saturation_scale, saturation_shift)
            value_W[column] = _level(x, value_scale, value_shift)
        for channel in range(3):
            ahead = np.int32((5 - 2 * channel) * sixth)
            out_W = channel_3W[channel]
            for column in range(width):
                out_W[column] = _channel(
                    hue_W[column], saturation_W[column], value_W[column], ahead, step, sixth
                )
        red_W, green_W, blue_W = channel_3W[0], channel_3W[1], channel_3W[2]
        out_W3 = image_HW3[row]
        for column in range(width):
            out_W3[column, 0] = red_W[column]
            out_W3[column, 1] = green_W[column]
            out_W3[column, 2] = blue_W[column]


@kernel
def paint_hits(hits_HW, greatest, shift, palette_257x3, image_HW3):
    """Paint a fractal over an image, where its color is not black.

    The hue is trunc(255 hits / greatest + shift) mod 256 where there is a hit. Loops without a
    branch: 0.05 ms for 224 x 224 pixels, a third of them hit, against 0.13 ms with one.

    Args:
        hits_HW: int32.
        greatest: of the hits, float64.
        shift: of the hue, 0 or more.
        palette_257x3: color of every hue, then black for no hit, uint8.
        image_HW3: changed, uint8.
    """
    height, width = hits_HW.shape
    code_W = np.empty(width, np.uint16)
    for row in range(height):
        hits_W = hits_HW[row]
        for column in range(width):
            hits = hits_W[column]
            hue = np.int32(255.0 * (hits / greatest) + shift) & _255
            code_W[column] = np.uint16(hue if hits > 0 else _NO_HIT)
        out_W3 = image_HW3[row]
        for column in range(width):
            code = code_W[column]
            red = palette_257x3[code, 0]
            green = palette_257x3[code, 1]
            blue = palette_257x3[code, 2]
            foreground = red | green | blue
            out_W3[column, 0] = red if foreground else out_W3[column, 0]
            out_W3[column, 1] = green if foreground else out_W3[column, 1]
            out_W3[column, 2] = blue if foreground else out_W3[column, 2]
