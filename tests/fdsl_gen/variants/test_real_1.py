"""real-1: transforms and edges equal slow twins."""

import math

import numpy as np
import pytest

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.keys import Key, Stream, uniforms
from fdsl_gen.geometry.source_image import read_source_image, to_gray
from fdsl_gen.kernels.canny import find_edges
from fdsl_gen.kernels.warp import warp_elastic, warp_rational
from fdsl_gen.recipe.jobs import render
from fdsl_gen.variants.real_1 import coefficients
from tests import PHOTO
from tests.fdsl_gen.variants.contours import real

SIDE = 40
TRANSFORMS = ["affine", "homography", "polynomial", "elastic"]


def bilinear(picture: np.ndarray, x: float, y: float) -> list[int]:
    """The picture in black surroundings at pixel coordinates."""
    column, row = math.floor(x), math.floor(y)
    levels = np.zeros((2, 2, picture.shape[2]))
    for j in range(2):
        for i in range(2):
            if 0 <= row + j < len(picture) and 0 <= column + i < len(picture):
                levels[j, i] = picture[row + j, column + i]
    right, down = x - column, y - row
    upper = levels[0, 0] * (1 - right) + levels[0, 1] * right
    lower = levels[1, 0] * (1 - right) + levels[1, 1] * right
    return [math.floor(v + 0.5) for v in upper * (1 - down) + lower * down]


def warped(picture: np.ndarray, move) -> np.ndarray:
    """Slow twin: ``move`` takes coordinates in half-widths, or gives None for black."""
    side = len(picture)
    half = side / 2
    out = np.zeros_like(picture)
    for row in range(side):
        for column in range(side):
            place = move((column + 0.5 - half) / half, (row + 0.5 - half) / half)
            if place is not None:
                x, y = (p * half + half - 0.5 for p in place)
                out[row, column] = bilinear(picture, x, y)
    return out


def assert_nearly_equal(one: np.ndarray, other: np.ndarray) -> None:
    """The twin adds in another order, so halves may be rounded differently."""
    differences = np.abs(one.astype(int) - other.astype(int))
    assert differences.max() <= 1
    assert np.count_nonzero(differences) <= one.size // 500


def drawn(**settings) -> np.ndarray:
    recipe = real(representation="rgb", encoding="rgb8", **settings)
    return render(recipe, 3, 0).image


def test_affine():
    stream = Stream(Key(0, "category", (3,)))
    e, a, b, f, c, d = (stream.uniform(-0.3, 0.3) for _ in range(6))
    expected = warped(
        read_source_image(str(PHOTO), SIDE),
        lambda u, v: ((1 + a) * u + b * v + e, c * u + (1 + d) * v + f),
    )
    assert_nearly_equal(drawn(delta=0.3), expected)


def test_homography():
    stream = Stream(Key(0, "category", (3,)))
    m = np.array([[stream.uniform(-0.2, 0.2) for _ in range(3)] for _ in range(3)])
    m[0, 1] += 1
    m[1, 2] += 1
    m[2, 0] += 1

    def move(u, v):
        p, q, w = (row[0] + row[1] * u + row[2] * v for row in m)
        return p / w, q / w

    expected = warped(read_source_image(str(PHOTO), SIDE), move)
    assert_nearly_equal(drawn(delta=0.2, transform="homography"), expected)


def test_beyond_the_horizon_of_a_homography_all_is_black():
    coefficient = coefficients("homography", 0.0, Key(0, "test"))
    coefficient[:2] = 0.0  # everything looks at the center,
    coefficient[2] = [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]  # but w = u
    picture = np.full((8, 8, 1), 200, np.uint8)
    out = np.full_like(picture, 7)
    warp_rational(coefficient, picture, out)
    assert not out[:, :4].any()
    assert np.all(out[:, 4:] == 200)


def test_polynomial():
    stream = Stream(Key(0, "category", (3,)))
    p, q = ([stream.uniform(-0.2, 0.2) for _ in range(6)] for _ in range(2))

    def move(u, v):
        terms = (1, u, v, u * u, u * v, v * v)
        x, y = (sum(k * t for k, t in zip(row, terms, strict=True)) for row in (p, q))
        return u + x, v + y

    expected = warped(read_source_image(str(PHOTO), SIDE), move)
    assert_nearly_equal(drawn(delta=0.2, transform="polynomial"), expected)


def test_elastic():
    def basis(x: float) -> float:
        """The uniform cubic B-spline about 0."""
        x = abs(x)
        return 2 / 3 - x * x + x**3 / 2 if x < 1 else max(0.0, 2 - x) ** 3 / 6

    cells = 5
    nodes = uniforms(Key(0, "category", (3,)).words, 2 * 64, -0.2, 0.2).reshape(2, 8, 8)

    def move(u, v):
        x, y = ((p + 1) / 2 * cells for p in (u, v))
        field = [
            sum(
                nodes[k, j, i] * basis(x - (i - 1)) * basis(y - (j - 1))
                for j in range(8)
                for i in range(8)
            )
            for k in range(2)
        ]
        return u + field[0], v + field[1]

    expected = warped(read_source_image(str(PHOTO), SIDE), move)
    found = drawn(delta=0.2, transform="elastic", elastic_cells=cells)
    assert_nearly_equal(found, expected)


def test_a_constant_lattice_only_shifts():
    picture = read_source_image(str(PHOTO), 32).copy()
    out = np.empty_like(picture)
    lattice = np.zeros((2, 7, 7))
    lattice[0] = 4 / 16  # four pixels
    warp_elastic(lattice, picture, out)
    assert np.array_equal(out[:, :28], picture[:, 4:])
    assert not out[:, 28:].any()


@pytest.mark.parametrize("side", [32, 45, 512])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_without_perturbation_the_image_is_the_picture(transform, side):
    settings = {"delta": 0.0, "transform": transform, "image_size": side}
    picture = read_source_image(str(PHOTO), side)
    colored = real(representation="rgb", encoding="rgb8", **settings)
    assert np.array_equal(render(colored, 5).image, picture)
    assert np.array_equal(render(real(**settings), 5).image, to_gray(picture))
    edges = np.empty((side, side), np.uint8)
    find_edges(to_gray(picture), np.array([100.0, 200.0]), edges)
    assert np.array_equal(render(real(representation="canny", **settings), 5).image, edges)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_perturbations_have_their_size(transform):
    weak, strong = (render(real(transform=transform, delta=d), 1).image for d in (0.02, 0.2))
    picture = to_gray(read_source_image(str(PHOTO), SIDE)).astype(int)
    moved = [np.abs(image - picture).mean() for image in (weak, strong)]
    assert 0 < moved[0] < moved[1] / 2
    assert not np.array_equal(strong, render(real(transform=transform, delta=0.2), 2).image)


def edges_twin(gray: np.ndarray, low: float, high: float) -> np.ndarray:
    """Canny with whole arrays and angles."""
    weights = np.array([1, 4, 6, 4, 1])
    padded = np.pad(gray.astype(int), 2, mode="edge")
    height, width = gray.shape
    smooth = sum(
        weights[j] * weights[i] * padded[j : j + height, i : i + width]
        for j in range(5)
        for i in range(5)
    )
    p = np.pad(smooth, 1, mode="edge")
    right, left = p[:, 2:], p[:, :-2]
    across = right - left
    gx = across[:-2] + 2 * across[1:-1] + across[2:]
    along = p[2:] - p[:-2]
    gy = along[:, :-2] + 2 * along[:, 1:-1] + along[:, 2:]
    size = abs(gx) + abs(gy)
    sector = np.round(np.degrees(np.arctan2(gy, gx)) / 45).astype(int) % 4
    steps = np.array([(0, 1), (1, 1), (1, 0), (1, -1)])[sector]
    rows, columns = np.mgrid[:height, :width]
    around = np.pad(size, 1, mode="edge")
    before = around[rows + 1 - steps[..., 0], columns + 1 - steps[..., 1]]
    after = around[rows + 1 + steps[..., 0], columns + 1 + steps[..., 1]]
    thin = (size >= before) & (size > after)
    candidate = thin & (size > 256 * low)
    kept = thin & (size > 256 * high)
    while True:
        near = np.pad(kept, 1)
        reached = np.zeros_like(kept)
        for j in range(3):
            for i in range(3):
                reached |= near[j : j + height, i : i + width]
        reached &= candidate
        if np.array_equal(reached, kept):
            return kept * np.uint8(255)
        kept = reached


@pytest.mark.parametrize("thresholds", [(0.0, 0.0), (20.0, 60.0), (100.0, 200.0), (30.0, 1e4)])
def test_edges(thresholds):
    noise = np.random.RandomState(8).randint(0, 256, (30, 47)).astype(np.uint8)
    for gray in (to_gray(read_source_image(str(PHOTO), 64)), noise):
        found = np.empty_like(gray)
        find_edges(gray, np.array(thresholds), found)
        assert np.array_equal(found, edges_twin(gray, *thresholds))


def test_an_edge_is_a_line_one_pixel_wide():
    gray = np.zeros((7, 8), np.uint8)
    gray[:, 4:] = 100
    found = np.empty_like(gray)
    find_edges(gray, np.array([100.0, 200.0]), found)
    assert found.any()
    assert np.all((found > 0).sum(axis=1) == 1)


def test_thresholds_in_order():
    with pytest.raises(UsageError, match="canny_low: must be at most canny_high"):
        real(canny_low=300)


def test_colors_need_the_color_encoding():
    with pytest.raises(UsageError, match="colored images need rgb8"):
        real(representation="rgb")
