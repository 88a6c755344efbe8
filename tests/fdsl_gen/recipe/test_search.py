"""Searches: refused where they cannot succeed, audible where they take long."""

import logging

import numpy as np
import pytest

from fdsl_gen import load_recipe, render
from fdsl_gen.core import patience
from fdsl_gen.core.errors import RenderError, UsageError
from fdsl_gen.kernels import raster
from fdsl_gen.variants import _planar, exfractaldb, fractal_1, fractaldb

SIDE = {"image_size": 100, "num_points": 50}  # 9 x 50 of 10,000 pixels are 4.5 %
SEARCH = {"search_size": 100, "search_points": 2000}  # 20 % of the pixels


@pytest.mark.parametrize(
    ("name", "possible", "impossible", "words"),
    [
        ("fractal-1", SIDE | {"filling_rate": 0.0449}, {"filling_rate": 0.045}, "450 of 10,000"),
        ("fractal-1", SIDE | {"filling_rate": 0.0049, "draw": "point"}, {"filling_rate": 0.005},
         "50 of 10,000"),
        ("fractal-1", {"filling_rate": 0.9585}, {"filling_rate": 0.97}, "253,009 of 262,144"),
        ("fractaldb-1k", SEARCH | {"filling_rate": 0.2}, {"filling_rate": 0.2001}, "2,000 of"),
        ("fractaldb-1k", {"filling_rate": 0.3}, {"filling_rate": 0.95}, "100,000 of 262,144"),
        ("exfractaldb-1k", {"variance": 0.99}, {"variance": 1.0}, "variance above 1"),
    ],
)  # fmt: skip
def test_a_search_that_cannot_succeed_is_refused_at_once(name, possible, impossible, words):
    load_recipe(name, **possible)
    with pytest.raises(UsageError, match=words) as caught:
        load_recipe(name, **(possible | impossible))
    assert "; lower it" in str(caught.value)


def test_systems_from_a_file_are_not_searched(tmp_path):
    path = tmp_path / "it.npz"
    np.savez(path, maps=np.full((2, 7), 0.5), offsets=[0, 2])
    load_recipe("fractaldb-1k", filling_rate=1.0, categories_from=str(path))


@pytest.mark.parametrize("mode", ["patch", "fill", "point"])
def test_no_image_lights_more_pixels_than_the_bound(mode):
    """Points in every place that there is, drawn as full blocks or pixels, reach the bound."""
    side = 40
    inside = np.arange(_planar.PAD, side - _planar.PAD + 1)
    stride = raster.canvas_stride(side)
    pixels = (inside[:, None] * stride + inside).ravel().astype(np.int32)
    most = _planar.most_pixels(len(pixels), side, mode)
    canvas = _planar.draw_pixels(pixels, side, mode, np.zeros(2, np.uint64))
    drawn = np.count_nonzero(_planar.to_image(canvas, side))
    assert drawn <= most
    assert drawn == most or mode == "patch"


@pytest.mark.parametrize(
    ("name", "module", "change", "words"),
    [
        ("fractal-1", fractal_1, {"filling_rate": 0.7, "image_size": 64}, "a base whose"),
        ("fractal-1", fractal_1, {"filling_rate": 0.7, "base": [[0.1, 0, 0, 0.1, 0, 0]] * 2,
         "image_size": 64}, "a perturbation that"),
        ("fractaldb-1k", fractaldb, {"filling_rate": 0.35}, "category 0"),
        ("exfractaldb-1k", exfractaldb, {"variance": 0.9}, "category 0"),
    ],
)  # fmt: skip
def test_a_long_search_says_what_it_does(monkeypatch, caplog, name, module, change, words):
    for limit in ("MAX_BASES", "MAX_ATTEMPTS", "MAX_CANDIDATES"):
        if hasattr(module, limit):
            monkeypatch.setattr(module, limit, 3)
    monkeypatch.setattr(patience, "_FIRST", 0.0)
    with caplog.at_level(logging.WARNING), pytest.raises(RenderError):
        render(load_recipe(name, **change), 0)
    (told,) = caplog.messages  # the next one comes later
    assert told == f"looking for {words}{told.split(words)[1]}"
    assert told.endswith("0 of 3 tried")


def test_a_short_search_is_silent(caplog):
    render(load_recipe("fractaldb-1k", search_points=3000, search_size=64, filling_rate=0.05), 0)
    assert caplog.messages == []


def test_a_category_beyond_those_that_labels_are_permuted_among(tmp_path):
    plain = load_recipe("linedb-16", image_size=32)
    assert render(plain, 20).parameters["num_lines"] == 21
    shuffled = load_recipe("linedb-16", image_size=32, shuffle_labels=True)
    assert render(shuffled, 15).labels is not None
    with pytest.raises(UsageError, match="linedb-16 has 16 categories, no category 16"):
        render(shuffled, 16)
    assert render(load_recipe("linedb-16", shuffle_labels=True, num_categories=17), 16)
