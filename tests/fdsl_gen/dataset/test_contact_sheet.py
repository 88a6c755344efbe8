"""Contact sheets show a dataset from end to end; odd datasets say so."""

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from click.testing import CliRunner

from fdsl_gen import generate, load_recipe, render
from fdsl_gen.archive.sample import is_blank
from fdsl_gen.build.finalize import finalize
from fdsl_gen.cli.main import cli
from fdsl_gen.core.errors import FdslError
from fdsl_gen.dataset.contact_sheet import draw_preview, preview_samples
from fdsl_gen.dataset.sheet import contact_sheet, in_lines
from fdsl_gen.dataset.store import open_for_writing
from fdsl_gen.executors import Silent
from tests.conftest import fdsl_gen
from tests.golden.samples import NAMES


class Notes(Silent):
    """An observer that keeps what it is told."""

    def __init__(self):
        self.heard = []

    def note(self, text):
        self.heard.append(text)


@pytest.mark.parametrize("name", NAMES)
def test_a_preview_samples_the_whole_range(name):
    recipe = load_recipe(name)
    scene = recipe.variant.SCENE
    samples = preview_samples(recipe, 24 if recipe.num_instances == 1 or scene else 6, 6)
    assert len(set(samples)) == len(samples)
    numbers = sorted({s.instance for s in samples} if scene else {s.category for s in samples})
    total = recipe.num_images or recipe.num_categories
    assert numbers[0] == 0
    assert numbers[-1] == total - 1
    steps = [b - a for a, b in pairwise(numbers)]
    assert max(steps) - min(steps) <= 1
    if not scene and recipe.num_instances > 1:
        instances = sorted({s.instance for s in samples})
        assert len(instances) == 6
        assert instances[0] == 0
        assert instances[-1] >= recipe.num_instances * 0.8
        groups = {recipe.variant.work_group(i) for i in instances}
        assert len(groups) == min(
            6, len({*map(recipe.variant.work_group, range(recipe.num_instances))})
        )


def test_few_categories_are_all_shown():
    recipe = load_recipe("linedb-16", num_categories=3, num_instances=7)
    samples = preview_samples(recipe, 6, 6)
    assert {s.category for s in samples} == {0, 1, 2}
    assert len(samples) == 18
    assert preview_samples(recipe, 1, 1) == [(0, 0)]


def test_views_differ():
    recipe = load_recipe("mv-fractaldb-1k")
    views = {s.instance // 145 for s in preview_samples(recipe, 6, 6)}
    assert len(views) == 6


def test_linedb_previews_show_other_numbers_of_lines():
    lines = [
        [drawn.parameters["num_lines"] for _, drawn in draw_preview(load_recipe(name)).drawn[::6]]
        for name in ("linedb-16", "linedb-1000")
    ]
    assert lines == [[1, 4, 7, 10, 13, 16], [1, 200, 400, 600, 800, 1000]]


@pytest.mark.parametrize("out", ["folder", ""])
@pytest.mark.parametrize("command", ["preview", "categories"])
def test_files_that_cannot_be_written_are_refused_at_once(tmp_path, monkeypatch, command, out):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    name = {"preview": ("linedb-16", "--out"), "categories": ("fractaldb-1k", "--picture")}[command]
    done = fdsl_gen(command, *name, out)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert ("folder is a folder; give the name of a file in it" if out else "is empty") in line
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("command", [["list"], ["--help"], ["cite", "linedb-16"]])
def test_a_reader_may_stop_early(command):
    """As in ``fdsl-gen list | head``."""
    with subprocess.Popen(
        [sys.executable, "-m", "fdsl_gen.cli", *command],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        process.stdout.close()
        told = process.stderr.read()
        assert process.wait(60) == 0
    assert told == ""


def test_blank_is_what_has_one_value():
    assert is_blank(np.zeros((3, 4), np.uint8))
    assert is_blank(np.full((3, 4), 255, np.uint8))
    assert is_blank(np.full((3, 4, 3), (9, 8, 7), np.uint8))
    assert not is_blank(np.eye(3, dtype=np.uint8))
    striped = np.zeros((3, 4, 3), np.uint8)
    striped[2, 3, 1] = 1
    assert not is_blank(striped)


LINES = {"num_categories": 4, "num_instances": 2, "image_size": 32}
DOTS = {"num_categories": 4, "num_instances": 3, "image_size": 32, "num_vertices_max": 9}
FAR = {"center_spread": 0, "radius_min": 9000, "radius_max": 9000, "num_contours_max": 2}


@pytest.mark.parametrize(
    ("name", "settings", "blank", "alike"),
    [
        ("linedb-16", LINES, 0, False),
        ("linedb-16", LINES | {"lines_min": 0}, 2, False),
        ("linedb-16", LINES | {"lines_min": 0, "lines_step": 0}, 8, True),
        ("rcdb-1k", DOTS | FAR | {"background": "white"}, 12, True),
        (
            "fractal-1",
            {"num_categories": 5, "image_size": 64, "delta": 0.0, "draw": "fill"},
            0,
            True,
        ),
        ("segrcdb", {"num_images": 4, "image_size": 32, "num_objects": 1} | FAR, 4, True),
    ],
)
def test_odd_sets_say_so_at_the_end(tmp_path, name, settings, blank, alike):
    recipe = load_recipe(name, **settings, num_shards=2)
    notes, again = Notes(), Notes()
    manifest = generate(recipe, tmp_path / "set", workers=1, observer=notes)
    shards = [shard for split in manifest.splits.values() for shard in split.shards]
    assert sum(shard.blank for shard in shards) == blank
    told = [note for note in notes.heard if note.startswith("warning")]
    expected = [f"{blank} of {recipe.num_samples} images are blank"] * bool(blank)
    expected += ["preview are one image"] * alike
    assert [words in note for words, note in zip(expected, told, strict=True)] == [True] * len(told)
    assert finalize(open_for_writing(tmp_path / "set"), again) == manifest
    assert again.heard == told


def test_a_shard_without_its_marker_counts_its_blank_images_again(tmp_path):
    recipe = load_recipe("rcdb-1k", **DOTS, **FAR, background="white", num_shards=1)
    first = generate(recipe, tmp_path / "set", workers=1)
    (marker,) = (tmp_path / "set" / "__meta__" / "markers").iterdir()
    marker.unlink()
    (tmp_path / "set" / "manifest.json").unlink()
    assert generate(recipe, tmp_path / "set", workers=1) == first
    assert first.splits["train"].shards[0].blank == 12


AWAY = {"window_shift": 100.0, "window_scale_min": 0.01, "window_scale_max": 0.01}


@pytest.mark.parametrize("background", [True, False])
def test_an_image_of_clouds_alone_is_blank(tmp_path, background):
    """A fractal outside its window is nothing to learn, whatever is behind it."""
    small = {"image_size": 32, "num_points": 500, "num_categories": 6, "num_instances": 2}
    recipe = load_recipe("fractal-color", **small, num_shards=1, background=background)
    seen = replace(recipe, variant=replace(recipe.variant, **AWAY))
    images = [render(seen, c, i) for c in range(6) for i in range(2)]
    lost = [render(recipe, c, i).blank for c in range(6) for i in range(2)]
    expected = sum(one.blank or is_blank(one.image) for one in images)
    assert sum(lost) == 0
    assert expected > 6
    if background:
        assert not any(is_blank(one.image) for one in images)
    first = generate(seen, tmp_path / "set", workers=1)
    assert first.splits["train"].shards[0].blank == expected
    (marker,) = (tmp_path / "set" / "__meta__" / "markers").iterdir()
    marker.unlink()
    (tmp_path / "set" / "manifest.json").unlink()
    assert generate(seen, tmp_path / "set", workers=1) == first


def test_a_scene_of_clouds_alone_is_blank():
    small = {"image_size": 32, "num_points": 1, "object_canvas": 8, "num_objects_max": 1}
    recipe = load_recipe("multi-fractal", **small, object_size_min=0.1, object_size_max=0.1)
    black = replace(recipe, variant=replace(recipe.variant, background=False))
    drawn = [(render(recipe, instance=i), render(black, instance=i)) for i in range(40)]
    assert [one.blank for one, _ in drawn] == [is_blank(other.image) for _, other in drawn]
    assert 0 < sum(one.blank for one, _ in drawn) < 40


def test_the_command_tells_of_blank_images(tmp_path):
    args = ["linedb-16", "--num-categories=2", "--num-instances=1", "--image-size=32"]
    done = CliRunner().invoke(cli, [*args, "--lines-min=0", f"--out={tmp_path / 'set'}"])
    assert done.exit_code == 0, done.stderr
    assert "warning: 1 of 2 images are blank" in done.stderr
    assert not isinstance(done.exception, FdslError)


def test_captions_of_several_lines_keep_words_together():
    text = "0: vertices_53, some_noise_0.288, offset_1".replace("_", "\N{NO-BREAK SPACE}")
    lines = in_lines(text, 192, 2).split("\n")
    assert lines == ["0: vertices 53,", "some noise 0.288, offset 1"]
    assert in_lines(text, 192, 1).endswith("...")
    image = np.zeros((8, 8), np.uint8)
    one, two = (contact_sheet([image], [c], 1).height for c in ("a", "a\nb"))
    assert two - one == 18
