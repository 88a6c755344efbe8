"""Sheets for the eye: titles, captions, keys to masks, brightening, and grids of sweeps."""

import io

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from fdsl_gen import load_recipe
from fdsl_gen.cli.main import cli
from fdsl_gen.core.errors import UsageError
from fdsl_gen.dataset import contact_sheet as module
from fdsl_gen.dataset.contact_sheet import draw_preview, preview_png, title_of
from fdsl_gen.dataset.sheet import HUES, brightened, colored, contact_sheet, grid_sheet

TINY = ["--image-size=32", "--num-points=300", "--filling-rate=0.01"]


def test_a_dim_set_is_brightened_by_one_factor():
    dim = [np.full((64, 64), value, np.uint8) for value in (10, 50)]
    shown, factor = brightened(dim, 32)
    assert factor == pytest.approx(255 / 50)
    assert [int(tile.max()) for tile in shown] == [51, 255]
    bright, one = brightened([np.full((64, 64, 3), 200, np.uint8)], 32)
    assert one == 1.0 and bright[0].shape == (32, 32, 3) and bright[0].max() == 200
    assert brightened([np.zeros((8, 8), np.uint8)], 8)[1] == 1.0


def test_a_mask_has_a_key_of_few_hues():
    mask = np.array([[0, 7], [200, 7]], np.uint8)
    image, key = colored(mask)
    assert [value for _, value in key] == [7, 200]
    assert image[0, 0].tolist() == [0, 0, 0]
    assert tuple(image[0, 1].tolist()) == key[0][0] == tuple(HUES[0].tolist())
    many, _ = colored(np.arange(256, dtype=np.uint8).reshape(16, 16))
    assert len({tuple(pixel) for pixel in many.reshape(-1, 3).tolist()}) == 1 + len(HUES)


def test_a_title_makes_a_sheet_taller_and_a_key_is_drawn():
    images = [np.zeros((8, 8), np.uint8)] * 2
    plain = contact_sheet(images, ["a", "b"], 2, tile=100)
    titled = contact_sheet(images, ["a", "b"], 2, tile=100, title="what it is " * 9)
    assert titled.width == plain.width and titled.height > plain.height + 18
    keyed = contact_sheet(images, ["m", "m"], 2, 100, keys=[[((1, 200, 3), "4")], []])
    assert (1, 200, 3) in {color for _, color in keyed.getcolors(100_000)}


def test_titles_say_what_differs_from_the_published_set():
    recipe = load_recipe("fractal-1", delta=0.2, seed=4)
    assert title_of(recipe) == "fractal-1, delta 0.2, seed 4"
    assert title_of(recipe, 2.5, ("delta", "seed")) == "fractal-1, brightened 2.5 times"


def captions_of(name, monkeypatch, **settings):
    said = []
    monkeypatch.setattr(
        module, "contact_sheet", lambda images, captions, *_, **__: said.extend(captions) or SHEET
    )
    recipe = load_recipe(name, **settings)
    preview_png(recipe, draw_preview(recipe, 2, 2))
    return said


SHEET = Image.new("RGB", (4, 4))


def test_captions_can_be_read(monkeypatch):
    small = {"image_size": 32}
    assert captions_of("linedb-16", monkeypatch, **small)[0] == "category 0 / instance 0"
    assert captions_of("moire-224", monkeypatch, **small)[0].startswith("category 0")
    scene = captions_of("multi-fractal", monkeypatch, num_images=4, num_categories=3, **small)
    assert scene[0].startswith("image 0: ")


def test_a_sweep_is_a_grid(tmp_path):
    out = tmp_path / "sweep.png"
    words = ["preview", "fractal-1", *TINY, "--sweep", "delta=.01,.1,.4", "--seed", "1,2"]
    done = CliRunner().invoke(cli, [*words, "--out", str(out)])
    assert done.exit_code == 0, done.output or done.exception
    assert Image.open(io.BytesIO(out.read_bytes())).size[0] > 3 * 192
    with pytest.raises(UsageError, match="fractal-1 has no setting 'delt'; did you mean 'delta'"):
        CliRunner().invoke(
            cli, ["preview", "fractal-1", "--sweep", "delt=1"], catch_exceptions=False
        )
    for wrong, said in (("delta", "must look like"), ("delta=", "must look like")):
        with pytest.raises(UsageError, match=said):
            CliRunner().invoke(
                cli, ["preview", "fractal-1", "--sweep", wrong], catch_exceptions=False
            )


def test_a_grid_has_room_for_its_labels():
    tiles = [[np.zeros((8, 8), np.uint8)] * 3] * 2
    sheet = grid_sheet(tiles, ["delta 1", "delta 2"], ["a", "b", "c"], "title", tile=50)
    assert sheet.size == (150 + 3 * 56 + 6, 2 * 18 + 6 + 2 * 56 + 6)
