"""What is in ``examples/`` runs; a kind of dataset is one module, a recipe and a golden."""

import os
import runpy
import sys
from unittest.mock import patch

import numpy as np
import pytest
from click.testing import CliRunner

from fdsl_gen import generate, load_recipe, open_dataset, render, variants
from fdsl_gen.cli.main import cli
from fdsl_gen.dataset import verify
from tests import ROOT
from tests.documents import blocks

FOLDER = ROOT / "examples"
RECIPE = FOLDER / "checkerboard.yaml"


@pytest.fixture
def added(monkeypatch):
    """The folder of the kinds has the example in it, and nothing else is told of it."""
    monkeypatch.setattr(variants, "__path__", [*variants.__path__, str(FOLDER)])
    yield
    del sys.modules["fdsl_gen.variants.checkerboard"], variants.checkerboard


def test_a_module_in_the_folder_is_a_kind(added, tmp_path):
    assert "checkerboard" in variants.kinds()
    recipe = load_recipe(RECIPE, num_categories=3, image_size=32)
    image = render(recipe, category=1).image
    assert image.shape == (32, 32)
    assert set(np.unique(image[:11, 11:22])) == {image.max()}
    generate(recipe, tmp_path / "out", workers=1)
    made = open_dataset(tmp_path / "out")
    assert len(made) == 12
    assert np.array_equal(made["00001_00000"].image, image)
    assert verify.check_pixels(tmp_path / "out", 12, lambda count: None) == []


def test_its_settings_are_options(added, tmp_path):
    out = tmp_path / "out"
    words = ["run", str(RECIPE), "--out", str(out), "--workers=1", "--gray-min=255"]
    done = CliRunner().invoke(cli, [*words, "--image-size=16"])
    assert done.exit_code == 0, done.output
    assert {int(sample.image.max()) for sample in open_dataset(out).values()} == {255}


def test_it_is_gone_afterwards():
    assert "checkerboard" not in variants.kinds()


def test_architecture_shows_the_example():
    (shown,) = (b for b in blocks(ROOT / "docs/architecture.md") if b.language == "python")
    assert shown.text == (FOLDER / "checkerboard.py").read_text()


NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_its_script(name):
    jupytext = pytest.importorskip("jupytext")
    both = [jupytext.read(FOLDER / f"{name}{ending}").cells for ending in (".py", ".ipynb")]
    script, notebook = ([(cell.cell_type, cell.source) for cell in cells] for cells in both)
    assert notebook == script
    assert not any(cell.get("outputs") for cell in both[1])


def run(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    with patch.dict(os.environ):
        runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["look", "sweep"])
def test_it_is_looked_at(name, tmp_path, monkeypatch):
    run(name, tmp_path, monkeypatch)
    assert (tmp_path / f"{name}.png").stat().st_size > 1000


@pytest.mark.slow
@pytest.mark.storage
def test_shards_go_to_a_bucket_and_back(tmp_path, monkeypatch, capsys):
    run("bucket", tmp_path, monkeypatch)
    assert "home is intact: 2 shards, 32 samples, 4 drawn again" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.train
def test_it_learns_formulas_and_then_digits(tmp_path, monkeypatch, capsys):
    run("train", tmp_path, monkeypatch)
    top1 = float(capsys.readouterr().out.partition("top-1 ")[2].partition(" %")[0])
    assert top1 > 15  # a guess is 10
    assert list((tmp_path / "attention").glob("*.png"))


def test_all_examples_are_run():
    others = {"checkerboard", "detection", "plain_loop", "timm_loop"}  # have tests of their own
    assert {path.stem for path in FOLDER.glob("*.py")} == {
        "bucket",
        "look",
        "sweep",
        "train",
    } | others
    assert NOTEBOOKS == ["bucket", "look", "sweep", "train"]
