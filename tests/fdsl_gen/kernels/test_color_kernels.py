"""Every kernel of the colored fractals equals its slow twin."""

import colorsys

import numpy as np
import pytest

from fdsl_gen.core.keys import Key, Stream
from fdsl_gen.geometry import ifs
from fdsl_gen.kernels import color, compose, diamond_square, splat
from fdsl_gen.recipe.recipe import load_recipe
from fdsl_gen.variants import _colored
from tests.fdsl_gen.variants import naive_colored as naive
from tests.fdsl_gen.variants import naive_pictures as pictures
from tests.fdsl_gen.variants.naive import choose_map, determinant_probabilities


def numbers(name: str, *indices: int) -> np.random.Generator:
    return np.random.default_rng([len(name), *indices])


def as_picture(image: np.ndarray) -> list[list[tuple[int, ...]]]:
    return [[tuple(color_3) for color_3 in line] for line in image.tolist()]


def systems(count: int, num_maps: int = 4) -> list[np.ndarray]:
    """Contractive systems of 2 to ``num_maps`` maps."""
    found = []
    for k in range(count):
        stream = Stream(Key(4, "system", (k,)))
        maps = stream.integer(2, num_maps)
        found.append(ifs.sample_contractive(stream, maps, (5 + maps) / 2))
    return found


@pytest.mark.parametrize("num_points", [1, 3, 1023, 1024, 1025, 3000])
def test_map_sequence(num_points):
    for k, affine_N6 in enumerate(systems(4, 9)):
        key = Key(1, "maps", (k,))
        maps_P = np.full(num_points, 77, np.uint8)
        splat.choose_maps(key.words, ifs.cumulative_probabilities(affine_N6), maps_P)
        probabilities = determinant_probabilities(affine_N6.tolist())
        expected = [choose_map(pictures.unit(key, t), probabilities) for t in range(num_points)]
        assert maps_P.tolist() == expected


def test_a_draw_that_equals_a_sum_takes_its_map():
    key = Key(1, "edge")
    maps_P = np.empty(3, np.uint8)
    cumulative_N = np.array([pictures.unit(key, 0), 1.0])
    splat.choose_maps(key.words, cumulative_N, maps_P)
    assert maps_P.tolist() == [int(pictures.unit(key, t) > cumulative_N[0]) for t in range(3)]
    assert maps_P[0] == 0


@pytest.mark.parametrize("count", [1, 3, 4, 5, 9])
@pytest.mark.parametrize("num_points", [1, 700, 1025])
def test_points_of_games_side_by_side(count, num_points):
    """Whatever stands in the other lanes, and however often the table was used."""
    games = [_colored.Game(a, Key(2, "game", (k,))) for k, a in enumerate(systems(count))]
    table = _colored.Table(num_points)
    for _ in range(2):
        for played, game in zip(table.play(games), games, strict=True):
            expected = naive.points(game.affine_N6.tolist(), game.key, num_points)
            assert list(zip(played.x_P.tolist(), played.y_P.tolist(), strict=True)) == expected
            for extent, axis in zip(played.extents, (0, 1), strict=True):
                values = [point[axis] for point in expected]
                assert extent == (min(values), max(values))


def test_lanes_without_a_game_read_nothing_of_the_last_one(monkeypatch):
    """Run as plain Python, which notices an index beyond the coefficients."""
    plain = getattr(splat.follow_four, "py_func", splat.follow_four)
    monkeypatch.setattr(splat, "follow_four", plain)
    table = _colored.Table(50)
    many = ifs.sample_contractive(Stream(Key(4, "many")), 9, 7.0)
    few = ifs.sample_contractive(Stream(Key(4, "few")), 2, 3.7)
    for affine_N6, count in ((many, 4), (few, 1)):
        games = [_colored.Game(affine_N6, Key(2, "lane", (k,))) for k in range(count)]
        assert len(list(table.play(games))) == count


def spread(points, windows, patch, side):
    """Hits of the package."""
    x_P, y_P = (np.array(values, float) for values in zip(*points, strict=True))
    windows = tuple(_colored.Window(*one) for one in windows)
    played = _colored.Played(x_P, y_P, windows)
    patch_33 = np.array(patch, np.int32).reshape(3, 3)
    return _colored.Table(len(points)).hits(played, windows, patch_33, side)


@pytest.mark.parametrize("side", [16, 17, 40])
def test_hits(side):
    """Points inside, outside and near the edges of a window; some patches of every shape."""
    for k in range(25):
        random = numbers("hits", side, k)
        points = random.normal(size=(300, 2)).tolist()
        windows = [sorted(random.uniform(-2, 2, 2).tolist()) for _ in range(2)]
        bits = [int(bit) for bit in f"{random.integers(1, 512):09b}"]
        found, greatest = spread(points, windows, bits, side)
        expected = naive.hits(points, windows, bits, side)
        assert found.tolist() == expected
        assert greatest == max(map(max, expected))


def test_a_patch_is_centered_and_row_comes_from_x():
    bits = [0, 1, 1, 0, 0, 1, 0, 0, 0]
    found, greatest = spread([(2.5, 1.0), (2.5, 1.0), (0.0, 4.0)], [(0, 4), (0, 4)], bits, 5)
    assert found.tolist() == [
        [0, 0, 0, 0, 0],
        [0, 2, 2, 0, 0],
        [0, 0, 2, 0, 0],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
    ]
    assert greatest == 2


def test_what_is_just_off_the_canvas_reaches_in():
    """Truncation is toward zero, so row -0.5 is row 0 and row -1.5 is row -1."""
    ones = [1] * 9
    windows = [(0.0, 15.0), (0.0, 15.0)]
    for row, lit in ((-0.5, 2), (-1.5, 1), (-2.5, 0), (15.5, 2), (16.5, 1), (17.5, 0)):
        found, _ = spread([(row, 8.0)], windows, ones, 16)
        assert found.sum() == 3 * lit
        assert found.tolist() == naive.hits([(row, 8.0)], windows, ones, 16)


@pytest.mark.parametrize("value", [1e300, -1e300, np.inf, -np.inf, np.nan, 2.0**31, -(2.0**40)])
def test_points_far_away_or_not_finite_are_not_drawn(value):
    for point in ((value, 0.5), (0.5, value)):
        found, greatest = spread([point], [(0, 1), (0, 1)], [1] * 9, 16)
        assert greatest == 0 and not found.any()


def test_a_window_without_extent_is_the_first_row():
    found, _ = spread([(3.0, 1.0)], [(3.0, 3.0), (0.0, 2.0)], [1] * 9, 16)
    assert np.flatnonzero(found.any(axis=1)).tolist() == [0, 1]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("decay", [0.4, 0.8, 5.0])
def test_clouds(n, decay):
    key = Key(6, "clouds", (n,))
    grid_SS = np.full((2**n + 1, 2**n + 1), np.nan)
    diamond_square.grow_clouds(key.words, decay, grid_SS)
    expected = pictures.diamond_square(n, decay, key)
    assert len(expected) == grid_SS.size
    assert {place: grid_SS[place] for place in expected} == expected


def test_clouds_wrap_around():
    """With amplitudes that die away, points of an edge are means across the opposite edge."""
    grid_SS = np.empty((9, 9))
    diamond_square.grow_clouds(Key(6, "wrap").words, 50.0, grid_SS)
    for c in (1, 3, 5, 7):
        beside = grid_SS[0, c - 1] + grid_SS[0, c + 1]
        assert grid_SS[0, c] == pytest.approx((grid_SS[1, c] + grid_SS[7, c] + beside) / 4)
        beside = grid_SS[8, c - 1] + grid_SS[8, c + 1]
        assert grid_SS[8, c] == pytest.approx((grid_SS[1, c] + grid_SS[7, c] + beside) / 4)
        assert grid_SS[0, c] != grid_SS[8, c]
    for r in (1, 3, 5, 7):
        beside = grid_SS[r - 1, 0] + grid_SS[r + 1, 0]
        assert grid_SS[r, 0] == pytest.approx((grid_SS[r, 1] + grid_SS[r, 7] + beside) / 4)


def test_first_level_of_clouds_follows_its_law():
    """Centers are means of the corners plus U(-1/2, 1/2); corners are U(0, 1)."""
    moves, corners = [], []
    for k in range(2000):
        grid_SS = np.empty((3, 3))
        diamond_square.grow_clouds(Key(6, "law", (k,)).words, 0.5, grid_SS)
        corners += grid_SS[::2, ::2].ravel().tolist()
        moves.append(grid_SS[1, 1] - grid_SS[::2, ::2].sum() / 4)
    for values, low in ((corners, 0.0), (moves, -0.5)):
        assert low <= min(values) < low + 0.003 and low + 0.997 < max(values) <= low + 1
        assert np.histogram(values, 4, (low, low + 1))[0] == pytest.approx(len(values) / 4, rel=0.1)


LEVELS = [0, 1, 2, 77, 127, 128, 200, 254, 255]


@pytest.mark.parametrize("mode", ["released", "full_circle"])
@pytest.mark.parametrize("saturation", LEVELS)
def test_every_hue(mode, saturation):
    palette = np.zeros((257, 3), np.uint8)
    for value in LEVELS:
        levels = np.int32(saturation), np.int32(value)
        color.mix_palette(*levels, _colored.CIRCLES[mode], palette)
        expected = [pictures.rgb(hue, saturation, value, mode) for hue in range(256)]
        assert list(map(tuple, palette[:256].tolist())) == expected


def test_colors_are_those_of_the_standard_library():
    palette = np.zeros((257, 3), np.uint8)
    for mode, turn in (("released", 180), ("full_circle", 256)):
        color.mix_palette(np.int32(130), np.int32(201), _colored.CIRCLES[mode], palette)
        for hue in range(256):
            exact = colorsys.hsv_to_rgb(hue % turn / turn, 130 / 255, 201 / 255)
            assert np.abs(palette[hue] - 255 * np.array(exact)).max() <= 0.5 + 1e-9
    assert palette[256].tolist() == [0, 0, 0]


@pytest.mark.parametrize("mode", ["released", "full_circle"])
def test_cloud_colors(mode):
    """Heights far below 0 and above 1 among them."""
    random = numbers("colors", len(mode))
    for k in range(8):
        grid_SS = random.uniform(-1.5, 2.5, (20, 20))
        look = random.uniform([[0.25, 0], [0.1, 0.4], [0.3, 0.4]], [[1, 1], [0.3, 0.6], [0.6, 0.6]])
        if k == 7:
            look = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
        image = np.empty((16, 16, 3), np.uint8)
        color.paint_clouds(grid_SS, look, _colored.CIRCLES[mode], image)
        expected = [
            [pictures.cloud_color(x, look.tolist(), mode) for x in row[:16]]
            for row in grid_SS[:16].tolist()
        ]
        assert as_picture(image) == expected


@pytest.mark.parametrize("color", [True, False])
@pytest.mark.parametrize("turn", range(8))
def test_a_painted_fractal(color, turn):
    flips = [bool(turn & bit) for bit in (4, 2, 1)]
    random = numbers("fractal", turn)
    hits_HW = random.integers(0, 5, (19, 19)).astype(np.int32) * random.integers(0, 9, (19, 19))
    hits_HW = hits_HW.astype(np.int32)
    image = random.integers(1, 255, (19, 19, 3)).astype(np.uint8)
    expected = as_picture(image)
    recipe = load_recipe("fractal-color", color=color)
    shade = (random.uniform(0, 255), 200, 100 + turn)
    look = _colored.Look(*flips, *shade)
    recipe.variant.paint(hits_HW, int(hits_HW.max()), look, image)
    fractal = pictures.colored(pictures.flipped(hits_HW.tolist(), *flips), shade, recipe.variant)
    pictures.paste(expected, fractal)
    assert as_picture(image) == expected


def test_a_black_fractal_leaves_the_background():
    image = np.full((16, 16, 3), 9, np.uint8)
    look = _colored.Look(False, False, False, 3.0, 200, 0)
    variant = load_recipe("fractal-color").variant
    variant.paint(np.ones((16, 16), np.int32), 1, look, image)
    assert (image == 9).all()


@pytest.mark.parametrize("shape", [(2, 2), (2, 7), (3, 3), (16, 16), (17, 30)])
@pytest.mark.parametrize("weight", [0, 27, 58, 85])
def test_blur(shape, weight):
    image = numbers("blur", *shape, weight).integers(0, 256, (*shape, 3)).astype(np.uint8)
    expected = pictures.blurred(as_picture(image), weight)
    compose.blur(weight, image)
    assert as_picture(image) == expected


def test_blur_of_one_white_pixel():
    image = np.zeros((3, 3, 3), np.uint8)
    image[1, 1] = 255
    compose.blur(64, image)
    assert image[:, :, 1].tolist() == [[64, 64, 64], [64, 64, 64], [64, 64, 64]]
    image = np.zeros((4, 4, 3), np.uint8)
    image[0, 0] = 255
    compose.blur(64, image)
    assert image[:, :, 2].tolist() == [[64, 32, 0, 0], [32, 16, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_blur_weights():
    for sigma in np.linspace(0.5, 1.0, 50).tolist():
        assert _colored.blur_weight(sigma) == pictures.blur_weight(sigma)
    assert [_colored.blur_weight(sigma) for sigma in (0.05, 0.5, 1.0, 1e3)] == [0, 27, 70, 85]


@pytest.mark.parametrize("side", [8, 13])
@pytest.mark.parametrize("size", [1, 2, 5, 8, 13, 21])
def test_pasting_a_resized_tile(side, size):
    random = numbers("paste", side, size)
    for k in range(12):
        tile = random.integers(0, 256, (side, side, 3)).astype(np.uint8)
        tile *= random.random((side, side, 1)) < 0.4
        image = random.integers(0, 256, (16, 16, 3)).astype(np.uint8)
        left, top = (int(value) for value in random.integers(-size, 17, 2))
        if k == 0:
            left = top = (16 - size) // 2
        expected = as_picture(image)
        pictures.paste(expected, pictures.resized(as_picture(tile), size), top, left)
        compose.paste_resized(tile, size, left, top, image)
        assert as_picture(image) == expected


def test_resizing_to_the_same_size_changes_nothing():
    tile = numbers("same").integers(1, 256, (12, 12, 3)).astype(np.uint8)
    image = np.zeros((12, 12, 3), np.uint8)
    compose.paste_resized(tile, 12, 0, 0, image)
    assert np.array_equal(image, tile)


def test_patches_are_never_empty_and_equally_likely():
    counts = np.zeros(512, int)
    for k in range(200):
        stream = Stream(Key(8, "patch", (k,)))
        for _ in range(250):
            bits = _colored.sample_patch(stream)
            counts[int("".join(map(str, bits.ravel())), 2)] += 1
    assert counts[0] == 0
    expected = counts.sum() / 511
    chi_square = float(((counts[1:] - expected) ** 2 / expected).sum())
    # 510 degrees of freedom: mean 510, deviation 32
    assert abs(chi_square - 510) < 5 * 32
