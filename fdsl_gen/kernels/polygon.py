"""Filled polygons, equal to Pillow's ``ImageDraw.polygon(fill=...)`` pixel for pixel.

Scan lines with the even-odd rule on integer vertices, in float32 like Pillow's, whose particulars
decide the pixels of SegRCDB's masks:

- An edge covers the rows of both its ends. Where it ends on a row that is not the last of the
  polygon, its crossing counts twice.
- Horizontal edges are drawn at once and have no crossings.
- Where two slanted edges meet in a corner so flat that the row beside it lies more than a pixel
  off, the later one's crossing is moved to within a pixel of that row.
- Between two crossings a span reaches from the first, halves rounded away from 0, to the second,
  halves rounded toward 0; spans of a row never go back.

Shapes: E edges, each with the integers x0 y0 xmin xmax ymin ymax and a slope dx/dy; R rows of the
canvas; C crossings of all rows, one row after another.
"""

import numpy as np

from fdsl_gen.core.jit import kernel

_X0, _Y0, _X_MIN, _X_MAX, _Y_MIN, _Y_MAX = range(6)
_HALF, _ONE = np.float32(0.5), np.float32(1)


@kernel
def _round(x):
    """Nearest integer, halves away from 0."""
    whole = int(np.floor(np.float64(abs(x)) + 0.5))
    return whole if x >= 0.0 else -whole


@kernel
def _first_pixel(x):
    """Nearest integer, halves away from 0.

    The sum is rounded to float32 first, so that the number before 0.5 gives 1.
    """
    return int(np.floor(x + _HALF)) if x >= 0.0 else _round(x)


@kernel
def _last_pixel(x):
    """Nearest integer, halves toward 0."""
    whole = int(np.ceil(np.float64(abs(x)) - 0.5))
    return whole if x >= 0.0 else -whole


@kernel
def _crossing(edge_6, slope, y):
    """Where the line of an edge crosses row y, float32."""
    return np.float32(y - edge_6[_Y0]) * slope + np.float32(edge_6[_X0])


@kernel
def _collect_edges(pixel_2Q, edge_E6, slope_E):
    """Edges of a polygon in the order of its vertices, the one that closes it last."""
    vertices = pixel_2Q.shape[1]
    for e in range(edge_E6.shape[0]):
        x0 = int(pixel_2Q[0, e])
        y0 = int(pixel_2Q[1, e])
        x1 = int(pixel_2Q[0, (e + 1) % vertices])
        y1 = int(pixel_2Q[1, (e + 1) % vertices])
        edge_E6[e, _X0] = x0
        edge_E6[e, _Y0] = y0
        edge_E6[e, _X_MIN] = min(x0, x1)
        edge_E6[e, _X_MAX] = max(x0, x1)
        edge_E6[e, _Y_MIN] = min(y0, y1)
        edge_E6[e, _Y_MAX] = max(y0, y1)
        slope_E[e] = 0.0 if y0 == y1 else np.float32(x1 - x0) / np.float32(y1 - y0)


@kernel
def _at_corner(x, edge_E6, slope_E, e, y):
    """The crossing x of edge e at its end on row y, moved if it is a flat corner."""
    edge_6 = edge_E6[e]
    beside = y - 1 if y == edge_6[_Y_MAX] else y + 1
    for other in range(e):
        other_6 = edge_E6[other]
        if slope_E[other] == 0.0 or (y != other_6[_Y_MIN] and y != other_6[_Y_MAX]):
            continue
        if _round(x) != _round(_crossing(other_6, slope_E[other], y)):
            continue
        if not other_6[_Y_MIN] <= beside <= other_6[_Y_MAX]:
            continue
        one = _crossing(edge_6, slope_E[e], beside)
        two = _crossing(other_6, slope_E[other], beside)
        if x > one + _ONE and x > two + _ONE:
            return np.float32(_round(max(one, two)) + 1)
        if x < one - _ONE and x < two - _ONE:
            return np.float32(_round(min(one, two)) - 1)
        return x
    return x


@kernel
def _rows(edge_6, height):
    """First row of an edge on the canvas, and the row after its last; none if it is horizontal."""
    if edge_6[_Y_MIN] == edge_6[_Y_MAX]:
        return 0, 0
    return max(edge_6[_Y_MIN], 0), min(edge_6[_Y_MAX] + 1, height)


@kernel
def _count_crossings(edge_E6, bottom, end_R):
    """Note for every row how many crossings it and the rows before it have."""
    for e in range(edge_E6.shape[0]):
        start, stop = _rows(edge_E6[e], end_R.shape[0])
        for y in range(start, stop):
            end_R[y] += 2 if y == edge_E6[e, _Y_MAX] and y < bottom else 1
    for y in range(1, end_R.shape[0]):
        end_R[y] += end_R[y - 1]


@kernel
def _sort_crossings(edge_E6, slope_E, bottom, end_R, cross_C):
    """Crossings of all rows, sorted within each; leaves where each row begins in ``end_R``."""
    for e in range(edge_E6.shape[0]):
        edge_6 = edge_E6[e]
        start, stop = _rows(edge_6, end_R.shape[0])
        for y in range(start, stop):
            x = _crossing(edge_6, slope_E[e], y)
            times = 1
            if y == edge_6[_Y_MAX] and y < bottom:
                times = 2
            elif slope_E[e] != 0.0 and (y == edge_6[_Y_MIN] or y == edge_6[_Y_MAX]):
                x = _at_corner(x, edge_E6, slope_E, e, y)
            for _ in range(times):
                end_R[y] -= 1
                cross_C[end_R[y]] = x
    for y in range(end_R.shape[0]):
        stop = end_R[y + 1] if y + 1 < end_R.shape[0] else cross_C.shape[0]
        for c in range(end_R[y] + 1, stop):
            x = cross_C[c]
            place = c
            while place > end_R[y] and cross_C[place - 1] > x:
                cross_C[place] = cross_C[place - 1]
                place -= 1
            cross_C[place] = x


@kernel
def _span(x0, x1, y, value, width, canvas):
    """Pixels x0 .. x1 of a row of the canvas, as far as they are on it."""
    for x in range(max(x0, 0), min(x1, width - 1) + 1):
        canvas[y * width + x] = value


@kernel
def fill_polygon(pixel_2Q, value, width, canvas):
    """Fill a polygon, its edges included.

    Args:
        pixel_2Q: x and y of the vertices, int32; sides may cross and lie off the canvas.
        value: value of a drawn pixel.
        width: of the canvas.
        canvas: flat, of any unsigned type, changed.
    """
    height = canvas.shape[0] // width
    vertices = pixel_2Q.shape[1]
    edge_E6 = np.empty((vertices, 6), np.int64)
    slope_E = np.empty(vertices, np.float32)
    _collect_edges(pixel_2Q, edge_E6, slope_E)
    bottom = 0
    for edge_6 in edge_E6:
        bottom = max(bottom, edge_6[_Y_MAX])
        if edge_6[_Y_MIN] == edge_6[_Y_MAX] and 0 <= edge_6[_Y_MIN] < height:
            _span(edge_6[_X_MIN], edge_6[_X_MAX], edge_6[_Y_MIN], value, width, canvas)
    bottom = min(bottom, height)
    row_R = np.zeros(height, np.int64)
    _count_crossings(edge_E6, bottom, row_R)
    cross_C = np.empty(row_R[height - 1], np.float32)
    _sort_crossings(edge_E6, slope_E, bottom, row_R, cross_C)
    for y in range(height):
        stop = row_R[y + 1] if y + 1 < height else cross_C.shape[0]
        free = 0
        for c in range(row_R[y] + 1, stop, 2):
            last = _last_pixel(cross_C[c])
            first = max(free, _first_pixel(cross_C[c - 1]))
            if first <= last:
                _span(first, last, y, value, width, canvas)
                free = last + 1
