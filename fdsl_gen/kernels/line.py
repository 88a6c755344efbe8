"""Lines one pixel wide, equal to Pillow's ``ImageDraw.line`` pixel for pixel.

The rule is Bresenham's in directed integer form, so that drawing a segment backwards may give other
pixels. With D the longer and d the shorter of its two extents (the vertical one counts as longer if
they are equal), step k = 0 .. D of a segment lies ``floor((2 d k + D) / (2 D))`` pixels off its
start across. That closed form lets a segment begin where it enters the canvas.

Shapes: H W canvas, of any unsigned type, given flat with its width; K polygons of Q vertices.
"""

from fdsl_gen.core.jit import kernel

_PLACE = 2**32 - 1  # places are never negative; saying so spares numba's test for it at every pixel


@kernel
def _side(x, y, width, height):
    """Bits that say beyond which borders of the canvas a pixel lies; 0 if it lies on it."""
    return (x < 0) | (x >= width) << 1 | (y < 0) << 2 | (y >= height) << 3


@kernel
def _walk(x0, y0, x1, y1, last, value, width, canvas):
    """Draw a segment that lies on the canvas.

    All slopes go through one loop, and signs become masks instead of branches: 0.8 ms for the
    segments of a mean visual atom against 1.1 ms with conditional expressions.
    """
    dx = x1 - x0
    dy = y1 - y0
    right = (dx >> 63) | 1  # 1 or -1
    down = ((dy >> 63) | 1) * width
    dx = abs(dx)
    dy = abs(dy)
    straight = down if dy >= dx else right
    aside = right + down - straight
    rise = 2 * min(dx, dy)
    fall = 2 * max(dx, dy)
    error = rise - max(dx, dy)
    at = y0 * width + x0
    for _ in range(max(dx, dy) + last):
        canvas[at & _PLACE] = value
        over = ~(error >> 63)  # all bits set where error >= 0, else none
        at += straight + (aside & over)
        error += rise - (fall & over)


@kernel
def _walk_in(along, across, last, value, canvas):
    """Draw what lies on the canvas of any segment that is not a single pixel.

    Args:
        along: on the axis of the longer extent: start, extent, direction 1 or -1, size of the
            canvas, and how far its places lie apart on the flat canvas.
        across: the same on the other axis.
        last: 1 to draw the last pixel, 0 to leave it out.
        value: value of a drawn pixel.
        canvas: flat, changed.
    """
    start, longer, sign, size, step = along
    other, shorter, turn, room, jump = across
    first = max(0, -start if sign > 0 else start - size + 1)
    stop = min(longer + last, size - start if sign > 0 else start + 1)
    moved = (2 * shorter * first + longer) // (2 * longer)
    error = 2 * shorter * (first + 1) - longer - 2 * longer * moved
    other += turn * moved
    for k in range(first, stop):
        if 0 <= other < room:
            canvas[(start + sign * k) * step + other * jump] = value
        if error >= 0:
            other += turn
            error -= 2 * longer
        error += 2 * shorter


@kernel
def _cross(x0, y0, x1, y1, last, value, width, canvas):
    """Draw a segment that has only a part, or nothing, on the canvas."""
    x_axis = (x0, abs(x1 - x0), 1 if x0 < x1 else -1, width, 1)
    y_axis = (y0, abs(y1 - y0), 1 if y0 < y1 else -1, canvas.shape[0] // width, width)
    if x_axis[1] > y_axis[1]:
        _walk_in(x_axis, y_axis, last, value, canvas)
    else:
        _walk_in(y_axis, x_axis, last, value, canvas)


@kernel
def draw_segment(x0, y0, x1, y1, last, value, width, canvas):
    """Draw a segment between pixels.

    Args:
        x0, y0, x1, y1: from where to where, int64, anywhere within +-2**29.
        last: 1 to draw the last pixel, 0 to leave it out.
        value: value of a drawn pixel.
        width: of the canvas.
        canvas: flat, changed.
    """
    height = canvas.shape[0] // width
    side_0 = _side(x0, y0, width, height)
    side_1 = _side(x1, y1, width, height)
    if side_0 | side_1 == 0:
        _walk(x0, y0, x1, y1, last, value, width, canvas)
    elif side_0 & side_1 == 0:
        _cross(x0, y0, x1, y1, last, value, width, canvas)


@kernel
def draw_segments(segment_M4, value_M, width, canvas):
    """Draw M segments x0 y0 x1 y1 (int64) one after another, whole; see :func:`draw_segment`."""
    for m in range(segment_M4.shape[0]):
        x0, y0, x1, y1 = segment_M4[m]
        draw_segment(x0, y0, x1, y1, 1, value_M[m], width, canvas)


@kernel
def draw_strokes(segment_M4, thickness_M, value, width, canvas):
    """Draw M segments of the same value, each as ``thickness`` segments side by side.

    They lie beside each other across the longer extent, the middle one (or the one after it) in the
    place of the segment.
    """
    for m in range(segment_M4.shape[0]):
        x0, y0, x1, y1 = segment_M4[m]
        flat = abs(x1 - x0) > abs(y1 - y0)
        for k in range(thickness_M[m]):
            off = k - thickness_M[m] // 2
            dx = 0 if flat else off
            dy = off if flat else 0
            draw_segment(x0 + dx, y0 + dy, x1 + dx, y1 + dy, 1, value, width, canvas)


@kernel
def draw_polygons(pixel_K2Q, value_K, width, canvas):
    """Draw the outlines of K polygons one after another, each closed by its first vertex.

    The last pixel of a segment is the first of the next and is drawn there.

    Args:
        pixel_K2Q: x and y of the vertices, int32.
        value_K: value of each polygon's pixels, of the type of the canvas.
        width: of the canvas.
        canvas: flat, changed.
    """
    vertices = pixel_K2Q.shape[2]
    height = canvas.shape[0] // width
    for k in range(pixel_K2Q.shape[0]):
        value = value_K[k]
        x0 = int(pixel_K2Q[k, 0, vertices - 1])
        y0 = int(pixel_K2Q[k, 1, vertices - 1])
        side_0 = _side(x0, y0, width, height)
        if side_0 == 0:  # for the case that all vertices are the same
            canvas[y0 * width + x0] = value
        for q in range(vertices):
            x1 = int(pixel_K2Q[k, 0, q])
            y1 = int(pixel_K2Q[k, 1, q])
            side_1 = _side(x1, y1, width, height)
            if side_0 | side_1 == 0:
                _walk(x0, y0, x1, y1, 0, value, width, canvas)
            elif side_0 & side_1 == 0:  # else it cannot be seen
                _cross(x0, y0, x1, y1, 0, value, width, canvas)
            x0 = x1
            y0 = y1
            side_0 = side_1
