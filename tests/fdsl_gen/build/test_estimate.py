"""Estimates: what is said of a dataset beside what it then takes."""

import os

import pytest
from click.testing import CliRunner

from fdsl_gen import generate, load_recipe
from fdsl_gen.build.estimate import Estimate, Piece, estimate
from fdsl_gen.cli.estimate import duration, estimate_lines, size
from fdsl_gen.cli.main import cli
from fdsl_gen.recipe.order import shards_of
from tests.conftest import SMALL, options
from tests.fdsl_gen.executors.test_arrays import SEARCHED

MANY = {"image_size": 64, "num_points": 2000, "num_categories": 3000, "filling_rate": 0.03}


def cpu_seconds():
    return sum(os.times()[:2])


@pytest.mark.parametrize(
    ("name", "settings", "seconds"), [("fractal-1", MANY, 0.05), ("fractaldb-1k", SEARCHED, 0.05)]
)
def test_some_images_tell_of_all(tmp_path, name, settings, seconds):
    recipe = load_recipe(name, **settings)
    found = estimate(recipe, seconds=seconds, workers=1)
    assert 50 < found.drawn < recipe.num_samples
    began = cpu_seconds()
    manifest = generate(recipe, tmp_path / "out", workers=1)
    spent = cpu_seconds() - began
    real = sum(shard.bytes for shard in manifest.splits["train"].shards)
    assert found.bytes == pytest.approx(real, rel=0.1)
    assert found.core_seconds == pytest.approx(spent, rel=0.6)  # the preview is in it, too
    assert (found.category_seconds > 0) == recipe.variant.SEARCHED
    assert 0 < found.spread(lambda e: e.bytes) < 0.2


def test_all_of_a_small_set_is_drawn(small_folder):
    found = estimate(load_recipe("fractal-1", **SMALL), seconds=1, workers=1)
    assert found.drawn == 40
    real = sum(path.stat().st_size for path in small_folder.glob("*.tar"))
    assert found.bytes == pytest.approx(real, rel=0.1)  # ends of tars differ
    assert found.spread(lambda e: e.core_seconds) == 0


def made(**changes):
    """An estimate of exfractaldb-1k: a millisecond an image, 20 ms a category."""
    of_piece = {"images": 100, "categories": 10, "search_seconds": 0.2, "seconds": 0.1}
    of_piece |= {"check_seconds": 0.001, "bytes": 300_000, "memory": 200_300_000} | changes
    recipe = load_recipe("exfractaldb-1k", num_instances=100)
    return Estimate(recipe, (Piece(**of_piece),) * 2, workers=2, start=3.0)


def test_shards_and_blocks_are_not_divided():
    found = made()
    shards = len(shards_of(found.recipe))
    assert found.core_seconds == pytest.approx(20 + 100 + 1)
    assert found.search_wall(1) == pytest.approx(20)
    assert found.search_wall(4) == pytest.approx(3 * 2)  # ten blocks
    assert found.search_wall(500) == pytest.approx(2)
    assert found.render_wall(1) == pytest.approx(100)
    assert found.render_wall(shards - 1) == pytest.approx(2 * 100 / shards)
    assert found.render_wall(5000) == pytest.approx(100 / shards)
    assert found.wall(1) == pytest.approx(3 + 20 + 100 + 1)
    assert found.wall(5000) == pytest.approx(2 * 3 + 2 + 100 / shards + 1 / 4)
    assert found.memory == pytest.approx(200e6 + 3000 * 100_000 / shards, rel=0.01)


def test_lines_say_everything():
    lines = estimate_lines(made(), (10, 1000), 0.5)
    assert lines[0] == "exfractaldb-1k: drew 200 images in 2 places"
    rows = {line[:14].strip(): line[14:] for line in lines[1:]}
    assert rows["images"] == "100,000 in 1,000 categories"
    assert rows["bytes"].startswith("300 MB")
    assert rows["core hours"] == "0.034"
    assert rows["time here"].startswith("66 s, 2 processes")
    assert rows["10 cores"] and rows["1,000 cores"]
    assert rows["memory"] == "238 MB a process"
    assert rows["cost"] == "0.02 at 0.5 a core hour"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.42, "0.4 s"), (70, "70 s"), (121, "2.0 min"), (9000, "2.5 h"), (3e6, "35 days")],
)
def test_durations(value, text):
    assert duration(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(12, "0.01 kB"), (20_480, "20.5 kB"), (3.25e9, "3.25 GB"), (7e14, "700 TB")]
)
def test_sizes(value, text):
    assert size(value) == text


def test_the_command_takes_settings_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    words = ["fractal-1", "--workers=1", "--seconds=0.1", *options(SMALL)]
    done = CliRunner().invoke(cli, ["estimate", *words, "--cores=4"])
    assert done.exit_code == 0, done.output
    assert "  images      40 in 40 categories\n" in done.stdout
    assert "  4 cores " in done.stdout
    assert not list(tmp_path.iterdir())
    done = CliRunner().invoke(cli, ["fractal-1", "--out=x", "--num-categories=40", "--dry-run"])
    assert "fdsl-gen estimate fractal-1 --num-categories 40\n" in done.stdout
