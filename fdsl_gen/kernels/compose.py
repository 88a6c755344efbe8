"""Images over images: bilinear resizing, pasting, a small blur, all in whole numbers.

Shapes: H x W pixels of an image, M x M of a tile.
"""

import numpy as np

from fdsl_gen.core.jit import kernel

_HALF, _16 = np.int32(2**15), np.int32(16)  # a blur's sums are in units of 2**-16


@kernel
def _taps(first, count, size, side, tap_T3):
    """Where pixels of a resized tile lie in the tile: two neighbors, and the weight of the second.

    Pixel i of ``size`` has its center at (i + 1/2) side / size - 1/2, which is a whole number of
    1 / (2 size); beyond the outermost centers the tile goes on as it ends.

    Args:
        first: i of the first pixel.
        count: how many follow.
        size: pixels of the resized tile.
        side: pixels of the tile.
        tap_T3: output, int64.
    """
    for t in range(count):
        place = max((2 * (first + t) + 1) * side - size, 0)
        before = place // (2 * size)
        tap_T3[t, 0] = before
        tap_T3[t, 1] = min(before + 1, side - 1)
        tap_T3[t, 2] = place - 2 * size * before


@kernel
def paste_resized(tile_MM3, size, left, top, image_HW3):
    """Resize a tile to size x size pixels and paste it where it is not black.

    Bilinear with half-pixel centers. Ours: both directions at once, rounded once, halves up.

    Args:
        tile_MM3: uint8.
        size: pixels.
        left, top: place of its first pixel, may be negative.
        image_HW3: changed, uint8.
    """
    height, width, _ = image_HW3.shape
    side = tile_MM3.shape[0]
    first_row = max(0, -top)
    rows = min(size, height - top) - first_row
    first_column = max(0, -left)
    columns = min(size, width - left) - first_column
    if rows <= 0 or columns <= 0:
        return
    row_T3 = np.empty((rows, 3), np.int64)
    column_T3 = np.empty((columns, 3), np.int64)
    _taps(first_row, rows, size, side, row_T3)
    _taps(first_column, columns, size, side, column_T3)
    unit = 2 * size
    inverse = 1.0 / (unit * unit)  # the product is exact enough, as in kernels/color.py
    mixed_X = np.empty(3 * side, np.int64)  # a row of the tile's height at the place of row r
    color_3 = np.empty(3, np.uint8)
    for r in range(rows):
        above_X = tile_MM3[row_T3[r, 0]].reshape(-1)
        below_X = tile_MM3[row_T3[r, 1]].reshape(-1)
        down = row_T3[r, 2]
        up = unit - down
        for k in range(3 * side):
            mixed_X[k] = up * np.int64(above_X[k]) + down * np.int64(below_X[k])
        out_W3 = image_HW3[top + first_row + r]
        for c in range(columns):
            before = 3 * column_T3[c, 0]
            after = 3 * column_T3[c, 1]
            right = column_T3[c, 2]
            back = unit - right
            foreground = 0
            for channel in range(3):
                total = back * mixed_X[before + channel] + right * mixed_X[after + channel]
                total += unit * unit // 2
                color_3[channel] = np.uint8((total + 0.5) * inverse)
                foreground |= color_3[channel]
            if foreground:
                for channel in range(3):
                    out_W3[left + first_column + c, channel] = color_3[channel]


@kernel
def _blur_row(row_X, middle, weight, out_X):
    """Weighted sums of pixels and their left and right neighbors, which are mirrored at the ends.

    Rows are flat: X = 3 W channels, of which neighbors are 3 apart.
    """
    last = row_X.shape[0] - 3
    for k in range(3):
        out_X[k] = 2 * weight * np.int32(row_X[k + 3]) + middle * np.int32(row_X[k])
        end = last + k
        out_X[end] = 2 * weight * np.int32(row_X[end - 3]) + middle * np.int32(row_X[end])
    left_X = row_X[:-6]  # slices: an index such as k - 3 would be tested for its sign
    here_X = row_X[3:-3]
    right_X = row_X[6:]
    inner_X = out_X[3:-3]
    for k in range(inner_X.shape[0]):
        beside = np.int32(left_X[k]) + np.int32(right_X[k])
        inner_X[k] = np.int32(weight * beside) + np.int32(middle * np.int32(here_X[k]))


@kernel
def blur(weight, image_HW3):
    """Blur with the kernel [weight, 256 - 2 weight, weight] / 256 in both directions, rounded once.

    Beyond an edge the image is mirrored, its outermost pixel not repeated. Works in place: a row
    is overwritten when the sums of the row below it are known.

    Args:
        weight: 0 .. 85.
        image_HW3: changed, uint8, at least 2 x 2 pixels.
    """
    height, width, _ = image_HW3.shape
    weight = np.int32(weight)
    middle = np.int32(256 - 2 * weight)
    sum_3X = np.empty((3, 3 * width), np.int32)  # of row r in place r % 3
    _blur_row(image_HW3[0].reshape(-1), middle, weight, sum_3X[0])
    for row in range(height):
        if row + 1 < height:
            below_X = image_HW3[row + 1].reshape(-1)
            _blur_row(below_X, middle, weight, sum_3X[(row + 1) % 3])
        above = sum_3X[(row - 1 if row > 0 else 1) % 3]
        below = sum_3X[(row + 1 if row + 1 < height else height - 2) % 3]
        here = sum_3X[row % 3]
        out_X = image_HW3[row].reshape(-1)
        for k in range(3 * width):
            total = weight * (above[k] + below[k]) + middle * here[k]
            out_X[k] = np.uint8(np.int32(total + _HALF) >> _16)
