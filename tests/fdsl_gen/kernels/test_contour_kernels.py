"""Kernels equal what they are defined by: the package noise, and Pillow's lines and polygons."""

import noise
import numpy as np
import pytest
from PIL import Image, ImageDraw

from fdsl_gen.core.keys import Key, Stream
from fdsl_gen.kernels.line import draw_polygons, draw_segment, draw_segments, draw_strokes
from fdsl_gen.kernels.perlin import perlin, sample_perlin
from fdsl_gen.kernels.polygon import fill_polygon
from fdsl_gen.kernels.scatter import sample_integers, scatter_segments, scatter_strokes
from tests.fdsl_gen.variants import naive_contours as naive

WIDTH, HEIGHT = 64, 48
INK = np.uint8(200)


def blank() -> np.ndarray:
    return np.zeros(WIDTH * HEIGHT, np.uint8)


def by_pillow(draw) -> np.ndarray:
    image = Image.new("L", (WIDTH, HEIGHT))
    draw(ImageDraw.Draw(image))
    return np.asarray(image).ravel()


def test_perlin_equals_the_package_bit_for_bit():
    rng = np.random.RandomState(1)
    ends = [0.0, 255.0, 255.5, 255.999999, 256.0, 1023.999, 1024.5, 9999.9999, 10_000.0]
    for x in [*rng.uniform(0, 10_000, 100_000).tolist(), *rng.uniform(0, 2, 2000).tolist(), *ends]:
        assert float(perlin(x)) == noise.pnoise1(x), x


def test_draws_of_perlin_noise():
    key = Key(3, "test")
    drawn = np.empty(100_000, np.float32)
    sample_perlin(key.words, np.uint64(7), drawn)
    expected = [noise.pnoise1(10_000.0 * u) for u in naive.units(key, 1000, 7)]
    assert drawn[:1000].tolist() == expected
    assert abs(drawn.mean()) < 0.005
    assert abs(drawn.std() - 0.329) < 0.005
    assert -0.9525 < drawn.min() < -0.94
    assert 0.94 < drawn.max() < 0.9525


def random_segments(count: int) -> list[tuple[int, int, int, int]]:
    """Short and long, steep and flat, single points; on, partly on and off the canvas."""
    rng = np.random.RandomState(2)
    segments = []
    for k in range(count):
        reach = (20, 70, 100, 300, 2000, 20_000)[k % 6]
        ends = rng.randint(-reach, reach + 1, 4)
        if k % 6 == 0:
            ends = rng.randint(0, 48, 4)
        if k % 7 == 0:
            ends[2:] = ends[:2] + rng.randint(-3, 4, 2)
        if k % 11 == 0:
            ends[k % 2 :: 2] = ends[k % 2]  # vertical, horizontal
        segments.append(tuple(ends.tolist()))
    return segments


@pytest.mark.slow
def test_segments_equal_pillow():
    visible = 0
    for ends in random_segments(24_000):
        canvas = blank()
        draw_segment(*ends, 1, INK, WIDTH, canvas)
        expected = by_pillow(lambda pen, ends=ends: pen.line(ends, fill=int(INK), width=1))
        assert np.array_equal(canvas, expected), ends
        visible += bool(expected.any())
    assert 6_000 < visible < 20_000


def test_a_segment_drawn_backwards_may_differ():
    there, back = blank(), blank()
    draw_segment(0, 0, 4, 2, 1, INK, WIDTH, there)
    draw_segment(4, 2, 0, 0, 1, INK, WIDTH, back)
    picture = [
        [200, 0, 0, 0, 0],
        [0, 200, 200, 0, 0],
        [0, 0, 0, 200, 200],
    ]
    assert there.reshape(HEIGHT, WIDTH)[:3, :5].tolist() == picture
    assert not np.array_equal(there, back)


def test_the_last_pixel_can_be_left_out():
    canvas = blank()
    draw_segment(0, 0, 3, 0, 0, INK, WIDTH, canvas)
    assert canvas[:5].tolist() == [200, 200, 200, 0, 0]


def test_outlines_equal_pillow():
    """Also on canvases of two bytes, and for polygons that are a single point."""
    rng = np.random.RandomState(3)
    for reach in (0, 3, 40, 90, 3000):
        pixels = rng.randint(-reach, reach + 1, (30, 2, 7)).astype(np.int32) + 20
        grays = rng.randint(0, 256, 30)

        def draw(pen, pixels=pixels, grays=grays):
            for polygon, gray in zip(pixels, grays.tolist(), strict=True):
                naive.outline(pen, [tuple(p) for p in polygon.T.tolist()], gray)

        canvas = np.zeros(WIDTH * HEIGHT, np.uint16)
        draw_polygons(pixels, grays.astype(np.uint16), WIDTH, canvas)
        assert np.array_equal(canvas, by_pillow(draw))


def polygon_of(rng, k: int) -> np.ndarray:
    """Stars of random points near and far, and walks of small steps with many horizontal runs."""
    count = int(rng.randint(2, (8, 25, 120)[k % 3]))
    if k % 4 == 3:
        steps = rng.randint(-3, 4, (2, count))
        steps[1, rng.uniform(size=count) < 0.4] = 0
        return (np.cumsum(steps, axis=1) + 20).astype(np.int32)
    low, high = ((0, 30), (-20, 100), (-200, 300), (5, 12), (-20_000, 20_000))[k % 5]
    points = rng.randint(low, high, (2, count)).astype(np.int32)
    if k % 10 == 0:
        points[:, -1] = points[:, 0]
    return points


def same_as_pillow(points: np.ndarray) -> bool:
    canvas = blank()
    fill_polygon(points, INK, WIDTH, canvas)
    corners = [tuple(p) for p in points.T.tolist()]
    return np.array_equal(canvas, by_pillow(lambda pen: pen.polygon(corners, fill=int(INK))))


@pytest.mark.slow
def test_filled_polygons_equal_pillow():
    rng = np.random.RandomState(4)
    for k in range(20_000):
        points = polygon_of(rng, k)
        assert same_as_pillow(points), points.tolist()


@pytest.mark.parametrize("k", [41, 47, 55, 61, 82])
def test_a_crossing_just_below_one_half(k):
    """41 * (1/82) in float32 is the number before 0.5, and Pillow rounds it up."""
    for side in (1, -1):
        points = np.array([[0, side, 40 * side, 40 * side], [-k, k, k, -k]], np.int32)
        assert same_as_pillow(points)
        assert same_as_pillow(points[:, ::-1].copy())


@pytest.mark.parametrize("span", [1, 254, 255, 256, 300])
def test_integers_equal_those_of_a_stream(span):
    key = Key(5, "test", (span,))
    drawn = np.empty(3000, np.int64)
    sample_integers(key.words, 0, span, drawn)
    stream = Stream(key)
    assert drawn.tolist() == [stream.integer(0, span) for _ in range(3000)]
    assert (drawn.min(), drawn.max()) == (0, span)


def test_scattered_segments_are_uniform():
    segments = np.empty((20_000, 4), np.int64)
    scatter_segments(Key(6, "test").words, np.array([40.0, 30.0]), segments)
    expected = [int(u * (40, 30)[k % 2]) for k, u in enumerate(naive.units(Key(6, "test"), 80))]
    assert segments[:20].ravel().tolist() == expected
    for k, size in enumerate((40, 30, 40, 30)):
        counts = np.bincount(segments[:, k], minlength=size)
        assert len(counts) == size
        assert np.all(np.abs(counts - 20_000 / size) < 5 * np.sqrt(20_000 / size))


def test_scattered_strokes():
    segments = np.empty((20_000, 4), np.int64)
    size, lengths = np.array([400.0, 300.0]), np.array([30.0, 60.0])
    scatter_strokes(Key(7, "test").words, size, lengths, segments)
    long = np.hypot(*(segments[:, 2:] - segments[:, :2]).T)
    assert 28 < long.min() < 32
    assert 58 < long.max() < 62
    right, down = (segments[:, 2:] > segments[:, :2]).mean(axis=0)
    assert abs(right - 0.5) < 0.02
    assert abs(down - 0.5) < 0.02


def test_strokes_are_segments_side_by_side():
    segments = np.array(random_segments(300), np.int64)
    thickness = np.arange(300) % 5 + 1

    def draw(pen):
        for (x0, y0, x1, y1), t in zip(segments.tolist(), thickness.tolist(), strict=True):
            for off in range(-(t // 2), t - t // 2):
                dx, dy = (0, off) if abs(x1 - x0) > abs(y1 - y0) else (off, 0)
                pen.line((x0 + dx, y0 + dy, x1 + dx, y1 + dy), fill=int(INK), width=1)

    canvas = blank()
    draw_strokes(segments, thickness, INK, WIDTH, canvas)
    assert np.array_equal(canvas, by_pillow(draw))


def test_later_segments_lie_over_earlier_ones():
    segments = np.array([[0, 5, 20, 5], [5, 0, 5, 10]], np.int64)
    canvas = blank()
    draw_segments(segments, np.array([10, 20], np.uint8), WIDTH, canvas)
    assert canvas[5 * WIDTH + 4 : 5 * WIDTH + 7].tolist() == [10, 20, 10]
