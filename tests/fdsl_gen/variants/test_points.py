"""Points beside images: the trajectory before projection, in shards and in other readers."""

import io

import numpy as np
import pytest
from click.testing import CliRunner

from fdsl_gen import generate, load_recipe, open_dataset, render
from fdsl_gen.archive import npy
from fdsl_gen.cli.main import cli
from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.keys import Key
from fdsl_gen.dataset import verify
from fdsl_gen.recipe.jobs import Categories
from tests.fdsl_gen.variants import naive_space as naive

TRAJECTORY, POINTS = 500, 96
SMALL = {"num_points": TRAJECTORY, "image_size": 48, "num_categories": 3, "points": POINTS}
NAMES = {"exfractaldb-1k": 4, "mv-fractaldb-1k": 4, "ofdb-3d-1k": 12}


def small(name="exfractaldb-1k", **overrides):
    return load_recipe(name, **(SMALL | {"num_instances": NAMES[name]} | overrides))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("points") / "set"
    generate(small(num_shards=2), out, workers=1)
    return out


@pytest.mark.parametrize("name", NAMES)
def test_points_equal_the_twin(name):
    recipe = small(name)
    letter, factor = recipe.variant.weights().rows[0]
    for c in range(2):
        found = Categories(recipe)[c]
        maps = found.affine.tolist()
        for row in maps:
            row["abcdefghijkl".index(letter)] *= factor
        chances = naive.probabilities(found.affine.tolist())
        walked = naive.model(maps, chances, Key(recipe.seed, "trajectory", (c, 0)), TRAJECTORY)
        points = naive.normalized(walked)
        expected = [points[k * TRAJECTORY // POINTS] for k in range(POINTS)]
        drawn = render(recipe, c, 0)
        assert drawn.points.dtype == np.float32
        assert np.array_equal(drawn.points, np.array(expected, np.float32))


def test_points_change_no_pixel():
    with_points, without = small(), small(points=None)
    assert render(without, 1, 2).points is None
    assert np.array_equal(render(with_points, 1, 2).image, render(without, 1, 2).image)
    assert with_points.identity != without.identity


def test_all_points_are_the_whole_trajectory():
    everything = render(small(points=TRAJECTORY), 0, 0).points
    some = render(small(), 0, 0).points
    assert np.array_equal(everything[np.arange(POINTS) * TRAJECTORY // POINTS], some)


def test_more_points_than_there_are():
    with pytest.raises(UsageError, match=r"points: must be at most num_points \(500\), not 501"):
        small(points=501)


def test_points_come_back_from_a_dataset(folder):
    dataset = open_dataset(folder)
    assert dataset.manifest.members == ("png", "cls", "npy")
    for key, sample in dataset.items():
        category, instance = map(int, key.split("_"))
        assert np.array_equal(sample.points, render(small(), category, instance).points)
    total = sum(sample.digest() for sample in dataset.values()) % 2**128
    assert f"{total:032x}" == dataset.manifest.content_digest


def test_verify_compares_points(folder, monkeypatch):
    assert verify.check_files(folder, lambda entry: None) == []
    assert verify.check_pixels(folder, 12, lambda count: None) == []
    monkeypatch.setattr(npy, "array_of", lambda *_: np.zeros((POINTS, 3), np.float32))
    wrong = verify.check_pixels(folder, 2, lambda count: None)
    assert len(wrong) == 2
    assert all("the points of sample" in problem for problem in wrong)


@pytest.mark.parametrize(
    "points",
    [np.zeros((4, 3)), np.zeros((4, 2), np.float32), np.zeros(12, np.float32), None],
)
def test_what_are_no_points_is_refused(points):
    content = b"junk" if points is None else npy.npy_bytes(points)
    with pytest.raises(ValueError, match=r"its \.npy does not hold points"):
        small().sample_format.decode_points({"npy": content})
    with pytest.raises(ValueError, match=r"it has no \.npy"):
        small().sample_format.decode_points({})


def test_points_without_end_are_refused_before_memory_is_taken():
    header = io.BytesIO()
    fields = {"descr": "<f4", "fortran_order": False, "shape": (10**12, 3)}
    np.lib.format.write_array_header_1_0(header, fields)
    with pytest.raises(ValueError, match="does not hold points"):
        small().sample_format.decode_points({"npy": header.getvalue()})


# 2026-11: webdataset 1.0 leaves the shards it read to the garbage collector to close.
@pytest.mark.filterwarnings(
    "ignore:unclosed file:ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
@pytest.mark.slow
def test_other_readers(folder, tmp_path):
    import datasets
    import webdataset

    truth = open_dataset(folder)
    urls = sorted(str(path) for path in folder.glob("*.tar"))
    rows = list(webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8"))
    assert {row["__key__"] for row in rows} == set(truth)
    for row in rows:
        assert np.array_equal(row["npy"], truth[row["__key__"]].points)
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path))["train"]
    assert loaded.num_rows == len(truth)
    for row in loaded:
        points = np.array(row["npy"], np.float32)
        assert np.array_equal(points, truth[row["__key__"]].points)


def test_export_puts_points_beside_images(folder, tmp_path):
    tree = tmp_path / "tree"
    assert CliRunner().invoke(cli, ["export", str(folder), "--imagefolder", str(tree)]).output
    truth = open_dataset(folder)
    files = list(tree.rglob("*.npy"))
    assert {path.stem for path in files} == set(truth)
    for path in files:
        assert path.with_suffix(".png").exists()
        assert np.array_equal(np.load(path), truth[path.stem].points)
