"""Sets of instances in other hands: pycocotools, webdataset, datasets, and a picture."""

import contextlib
import io
import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from pycocotools.coco import COCO

from fdsl_gen import generate, load_recipe, open_dataset
from fdsl_gen.archive.label_types.instances import annotations
from fdsl_gen.cli.main import cli
from fdsl_gen.dataset import verify
from fdsl_gen.dataset.contact_sheet import draw_preview, preview_png

# pycocotools 2.0.11 converts arrays as numpy 1 wanted it.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SMALL = {"image_size": 64, "num_categories": 5, "num_contours_max": 6, "num_objects_max": 5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("coco") / "set"
    counts = {"num_images": 8, "validation_instances": 3, "num_shards": 2}
    generate(load_recipe("inscore", **SMALL, **counts), out, workers=1)
    return out


def export(*args):
    return CliRunner().invoke(cli, ["export", *map(str, args)])


def load(file):
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(file))


def test_samples_come_back(folder):
    dataset = open_dataset(folder)
    assert dataset.manifest.task == "instances"
    assert dataset.manifest.members == ("png", "json")
    assert verify.check_files(folder, lambda entry: None) == []
    assert verify.check_pixels(folder, 8, lambda count: None) == []
    assert all(sample.mask.max() == len(sample.labels) for sample in dataset.values())
    assert "annotations" in (folder / "README.md").read_text()


def test_pycocotools_loads_the_export(folder, tmp_path):
    done = export(folder, "--coco", tmp_path / "out")
    assert done.output.endswith(f"8 images in {tmp_path / 'out'}\n")
    truth = open_dataset(folder)
    seen = 0
    for name, count in (("annotations.json", 5), ("annotations_validation.json", 3)):
        coco = load(tmp_path / "out" / name)
        assert len(coco.imgs) == count
        assert sorted(coco.getCatIds()) == [1, 2, 3, 4, 5]
        for number, info in coco.imgs.items():
            sample = truth[f"{number:08d}"]
            with Image.open(tmp_path / "out" / "images" / info["file_name"]) as image:
                assert np.array_equal(np.asarray(image), sample.image)
            found = coco.loadAnns(coco.getAnnIds(imgIds=[number]))
            assert [one["category_id"] - 1 for one in found] == list(sample.labels)
            for k, one in enumerate(found, 1):
                assert np.array_equal(coco.annToMask(one), sample.mask == k)
                rows, columns = np.nonzero(sample.mask == k)
                x, y, width, height = one["bbox"]
                assert (x, y) == (columns.min(), rows.min())
                assert (x + width - 1, y + height - 1) == (columns.max(), rows.max())
            seen += len(found)
    assert seen > 8
    assert export(folder, "--coco", tmp_path / "out").exit_code == 0
    assert load(tmp_path / "out" / "annotations.json").imgs.keys() == {0, 1, 2, 3, 4}


def test_a_tree_has_annotations_beside_images(folder, tmp_path):
    assert export(folder, "--imagefolder", tmp_path / "out").exit_code == 0
    truth = open_dataset(folder)
    for file in (tmp_path / "out").rglob("annotations/*.json"):
        assert (file.parents[1] / "images" / f"{file.stem}.png").exists()
        assert json.loads(file.read_text())["annotations"] == annotations(truth[file.stem].target)


def test_other_sets_are_refused(small_folder, folder, tmp_path):
    refused = export(small_folder, "--coco", tmp_path / "out")
    assert "is a single dataset; --coco writes sets of instances" in str(refused.exception)
    assert not (tmp_path / "out").exists()
    refused = export(folder, "--coco", tmp_path / "a", "--flat", tmp_path / "b")
    assert "give one of --imagefolder, --coco and --flat" in str(refused.exception)


def test_a_preview_shows_instances_and_boxes(folder):
    recipe = load_recipe("inscore", **SMALL, num_images=8)
    preview = draw_preview(recipe, 4)
    with Image.open(io.BytesIO(preview_png(recipe, preview))) as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20
    assert len(preview.drawn) == 4


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
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path))
    rows += [row for split in loaded.values() for row in split]
    assert len(rows) == 16
    for row in rows:
        assert row["json"]["annotations"] == annotations(truth[row["__key__"]].target)
