"""Other people's readers open the folder unchanged and see every label and the true gray values."""

import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from fdsl_gen import generate, open_dataset

pytestmark = pytest.mark.slow  # starts processes

# 2026-11: webdataset 1.0 leaves the shards it read to the garbage collector to close.
leaves_files_open = pytest.mark.filterwarnings(
    "ignore:unclosed file:ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)


@pytest.fixture(scope="module", params=["gray8", "rgb8", "compact"])
def folder(request, tmp_path_factory):
    from fdsl_gen import load_recipe
    from tests.conftest import SMALL

    out = tmp_path_factory.mktemp("readers") / request.param
    generate(load_recipe("fractal-1", **SMALL, encoding=request.param), out, workers=1)
    return out


@pytest.fixture(scope="module")
def truth(folder):
    dataset = open_dataset(folder)
    assert len(dataset) == 40
    images = {sample.label: sample.image for sample in dataset.values()}
    assert {int(v) for image in images.values() for v in np.unique(image)} == {0, 127}
    return images


def test_tarfile(folder, truth):
    seen = {}
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            names = tar.getnames()
            assert names == [f"{n[:11]}.{e}" for n in names[::2] for e in ("png", "cls")]
            for name in names[::2]:
                label = int(tar.extractfile(f"{name[:11]}.cls").read())
                with Image.open(io.BytesIO(tar.extractfile(name).read())) as image:
                    seen[label] = np.asarray(image.convert("L"))
                assert name.startswith(f"{label:05d}_00000")
    assert seen.keys() == truth.keys() == set(range(40))
    assert all(np.array_equal(seen[c], truth[c]) for c in truth)


@leaves_files_open
def test_webdataset(folder, truth):
    import webdataset

    urls = sorted(str(path) for path in folder.glob("*.tar"))
    dataset = webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8").to_tuple("png", "cls")
    seen = {int(label): image for image, label in dataset}
    assert seen.keys() == truth.keys()
    for c, image in truth.items():
        assert np.array_equal(seen[c], np.repeat(image[:, :, None], 3, axis=2))


@leaves_files_open
def test_timm_wds(folder, truth):
    from timm.data import create_dataset

    dataset = create_dataset("wds/", root=str(folder), split="train", is_training=False)
    assert len(dataset) == 40
    seen = {int(label): np.asarray(image) for image, label in dataset}
    assert seen.keys() == truth.keys()
    for c, image in truth.items():
        assert np.array_equal(seen[c], np.repeat(image[:, :, None], 3, axis=2))


@leaves_files_open
def test_hugging_face_datasets(folder, truth, tmp_path):
    import datasets
    from torchvision.transforms import ToTensor

    dataset = datasets.load_dataset(str(folder), cache_dir=str(tmp_path))
    assert set(dataset) == {"train"}
    assert dataset["train"].num_rows == 40
    seen = {}
    for row in dataset["train"]:
        tensor = ToTensor()(row["png"])
        assert tensor.shape == (3, 64, 64)
        seen[row["cls"]] = (tensor.numpy() * 255).round().astype(np.uint8)
        assert row["__key__"] == f"{row['cls']:05d}_00000"
    assert seen.keys() == truth.keys()
    for c, image in truth.items():
        assert np.array_equal(seen[c], np.repeat(image[None], 3, axis=0))


@leaves_files_open
def test_hugging_face_datasets_with_metadata(small, tmp_path):
    import datasets

    generate(small(metadata=True), tmp_path / "set", workers=1)
    dataset = datasets.load_dataset(str(tmp_path / "set"), cache_dir=str(tmp_path / "cache"))
    rows = {row["cls"]: row["json"] for row in dataset["train"]}
    assert len(rows) == 40
    assert all(facts["category"] == c for c, facts in rows.items())
    assert all(isinstance(facts["map0_a"], float) for facts in rows.values())
    assert {facts["seed"] for facts in rows.values()} == {"15"}


@pytest.mark.parametrize("kind", ["fractal-1", "segrcdb", "multi-fractal"])
def test_hugging_face_datasets_understands_the_card(folder, scenes, tmp_path, kind):
    """Splits and features as the card says them, known before a shard is read."""
    import datasets
    from datasets.info import DatasetInfosDict

    place = folder if kind == "fractal-1" else scenes[kind][0]
    manifest = open_dataset(place).manifest
    builder = datasets.load_dataset_builder(str(place), cache_dir=str(tmp_path))
    for info in (DatasetInfosDict.from_directory(str(place))["default"], builder.info):
        assert list(info.splits) == list(manifest.splits)
        for name, split in manifest.splits.items():
            assert info.splits[name].num_examples == split.num_samples
            assert info.splits[name].num_bytes == sum(shard.bytes for shard in split.shards)
        assert set(info.features) == {"__key__", "__url__", *manifest.members}


def test_export(folder, truth, tmp_path):
    from tests.conftest import fdsl_gen

    done = fdsl_gen("export", folder, "--imagefolder", tmp_path / "tree")
    assert done.returncode == 0, done.stderr
    files = sorted((tmp_path / "tree").glob("train/*/*.png"))
    assert len(files) == 40
    for path in files:
        c = int(path.parent.name)
        assert path.name == f"{c:05d}_00000.png"
        with Image.open(path) as image:
            assert np.array_equal(np.asarray(image.convert("L")), truth[c])
    files[0].unlink()
    assert fdsl_gen("export", folder, "--imagefolder", tmp_path / "tree").returncode == 0
    assert files[0].exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x").touch()
    refused = fdsl_gen("export", folder, "--imagefolder", tmp_path / "other")
    assert refused.returncode == 2
    assert "is not empty" in refused.stderr


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Small finished sets with masks, and with several labels, and what is in them."""
    from fdsl_gen import load_recipe

    found = {}
    for name, settings in (("segrcdb", {"encoding": "gray8"}), ("multi-fractal", {})):
        out = tmp_path_factory.mktemp("scenes") / name
        small = {"num_images": 6, "image_size": 64, "num_shards": 2, "validation_instances": 2}
        generate(load_recipe(name, **small, **settings), out, workers=1)
        found[name] = out, dict(open_dataset(out))
    return found


@leaves_files_open
def test_webdataset_reads_masks(scenes):
    import webdataset

    folder, truth = scenes["segrcdb"]
    urls = sorted(str(path) for path in folder.glob("*.tar"))
    dataset = webdataset.WebDataset(urls, shardshuffle=False)
    seen = {row["__key__"]: (row["png"], row["mask.png"]) for row in dataset}
    assert seen.keys() == truth.keys()
    for key, (image, mask) in seen.items():
        for data, expected in ((image, truth[key].image), (mask, truth[key].mask)):
            with Image.open(io.BytesIO(data)) as opened:
                assert opened.mode == "L"
                assert np.array_equal(np.asarray(opened), expected)
    assert max(sample.mask.max() for sample in truth.values()) > 200


@leaves_files_open
def test_hugging_face_datasets_reads_masks(scenes, tmp_path):
    import datasets

    folder, truth = scenes["segrcdb"]
    dataset = datasets.load_dataset(str(folder), cache_dir=str(tmp_path))
    assert {name: split.num_rows for name, split in dataset.items()} == {
        "train": 4,
        "validation": 2,
    }
    rows = [row for split in dataset.values() for row in split]
    assert {row["__key__"] for row in rows} == truth.keys()
    for row in rows:
        sample = truth[row["__key__"]]
        assert np.array_equal(np.asarray(row["png"])[:, :, 0], sample.image)
        assert np.array_equal(np.asarray(row["mask.png"]), sample.mask)


@leaves_files_open
def test_hugging_face_datasets_reads_several_labels(scenes, tmp_path):
    import datasets

    folder, truth = scenes["multi-fractal"]
    dataset = datasets.load_dataset(str(folder), cache_dir=str(tmp_path))
    rows = [row for split in dataset.values() for row in split]
    assert {row["__key__"] for row in rows} == truth.keys()
    for row in rows:
        sample = truth[row["__key__"]]
        assert tuple(row["json"]["labels"]) == sample.labels
        assert np.array_equal(np.asarray(row["png"]), sample.image)
    assert max(len(sample.labels) for sample in truth.values()) > 1


def export(*args):
    from click.testing import CliRunner

    from fdsl_gen.cli.main import cli

    return CliRunner().invoke(cli, ["export", *map(str, args)])


def test_export_of_several_labels(scenes, tmp_path):
    import csv

    folder, truth = scenes["multi-fractal"]
    tree = tmp_path / "tree"
    assert export(folder, "--imagefolder", tree).output.endswith(f"6 images in {tree}\n")
    found = {}
    for split, count in (("train", 4), ("validation", 2)):
        with (tree / split / "labels.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == count == len(list((tree / split / "images").iterdir()))
        for row in rows:
            with Image.open(tree / split / row["file"]) as image:
                pixels = np.asarray(image.convert("RGB"))
            found[(tree / row["file"]).stem] = pixels, tuple(map(int, row["labels"].split()))
    assert found.keys() == truth.keys()
    for key, (pixels, labels) in found.items():
        assert np.array_equal(pixels, truth[key].image)
        assert labels == truth[key].labels
    (tree / "train" / "labels.csv").unlink()  # as if it had been interrupted
    next((tree / "train" / "images").iterdir()).unlink()
    assert export(folder, "--imagefolder", tree).exit_code == 0
    assert len((tree / "train" / "labels.csv").read_text().splitlines()) == 5
    assert len(list(tree.rglob("*.*"))) == 6 + 2 + 1  # images, tables, and the note


def test_export_of_masks(scenes, tmp_path):
    folder, truth = scenes["segrcdb"]
    assert export(folder, "--imagefolder", tmp_path / "tree").exit_code == 0
    for key, sample in truth.items():
        split = "train" if int(key) < 4 else "validation"
        for what, expected in (("images", sample.image), ("masks", sample.mask)):
            with Image.open(tmp_path / "tree" / split / what / f"{key}.png") as image:
                assert np.array_equal(np.asarray(image), expected)
    assert len(list((tmp_path / "tree").rglob("*.png"))) == 12


@pytest.mark.parametrize("kind", ["fractal-1", "segrcdb", "multi-fractal"])
def test_export_of_images_alone(folder, scenes, tmp_path, kind):
    place = folder if kind == "fractal-1" else scenes[kind][0]
    truth = open_dataset(place)
    assert export(place, "--flat", tmp_path / "flat").exit_code == 0
    names = sorted(path.stem for path in (tmp_path / "flat").glob("*"))
    assert names == [".fdsl-export", *sorted(truth)]
    with Image.open(tmp_path / "flat" / f"{names[1]}.png") as image:
        mode = "L" if truth[names[1]].image.ndim == 2 else "RGB"
        assert np.array_equal(np.asarray(image.convert(mode)), truth[names[1]].image)


def test_exports_are_not_mixed(folder, scenes, tmp_path):
    out = tmp_path / "out"
    assert export(folder, "--flat", out).exit_code == 0
    others = [(scenes["segrcdb"][0], "--flat"), (folder, "--imagefolder")]
    for place, flag in others:
        refused = export(place, flag, out)
        assert str(refused.exception) == f"{out} holds another export; give another folder"
        assert refused.exception.exit_code == 2
    for flags in ([], ["--flat", tmp_path / "a", "--imagefolder", tmp_path / "b"]):
        refused = export(folder, *flags)
        assert "give one of --imagefolder, --coco and --flat" in str(refused.exception)
        assert refused.exception.exit_code == 2
    assert not (tmp_path / "a").exists()
