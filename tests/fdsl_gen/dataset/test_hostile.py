"""Files of a dataset that someone else may have written: one sentence, and nothing is believed."""

import io
import json
import os
import shutil
import tarfile

import numpy as np
import pytest

from fdsl_gen.archive import tar
from fdsl_gen.core.errors import FdslError, Mismatch, UsageError
from fdsl_gen.core.json_text import parse_json
from fdsl_gen.dataset.export import export_tree
from fdsl_gen.dataset.reader import open_dataset
from fdsl_gen.dataset.store import open_for_writing
from fdsl_gen.dataset.verify import check_files
from fdsl_gen.recipe.category_blocks import UNREADABLE, block_path, read_block
from fdsl_gen.recipe.recipe import load_recipe
from fdsl_gen.storage.manifest import read_manifest
from fdsl_train.data.sources.decoded import decode_once
from fdsl_train.data.sources.shards import open_split

pytestmark = pytest.mark.usefixtures("cheaply")


@pytest.fixture
def folder(small_folder, tmp_path):
    """A finished dataset to spoil."""
    return shutil.copytree(small_folder, tmp_path / "set")


def first(data):
    return data["splits"]["train"]["shards"][0]


MANIFESTS = {
    "path": lambda d: first(d).update(file="../evil-train-000000.tar"),
    "absolute": lambda d: first(d).update(file="/tmp/evil-train-000000.tar"),
    "split": lambda d: d["splits"].update({"../out": d["splits"]["train"]}),
    "no train": lambda d: d["splits"].clear(),
    "splits": lambda d: d.update(splits=[]),
    "twice": lambda d: d["splits"]["train"]["shards"].append(first(d)),
    "samples": lambda d: first(d).update(samples=10**9),
    "sum": lambda d: d["splits"]["train"].update(num_samples=1),
    "classes": lambda d: d.update(num_classes=10**8),
    "classes type": lambda d: d.update(num_classes="40"),
    "image": lambda d: d["image"].update(width=10**9),
    "members": lambda d: d.update(members=["png", "../cls"]),
    "members type": lambda d: d.update(members=3),
    "task": lambda d: d.update(task=["single"]),
    "digest": lambda d: d.update(content_digest="0" * 32),
    "sha256": lambda d: first(d).update(sha256="../x"),
    "recipe": lambda d: d.update(recipe=[]),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_is_not_believed(folder, name):
    path = folder / "manifest.json"
    data = json.loads(path.read_bytes())
    MANIFESTS[name](data)
    path.write_text(json.dumps(data))
    with pytest.raises(UsageError, match=r"manifest\.json"):
        read_manifest(folder)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "[" * 100 + "]" * 100, '{"a": 1, "a": 2}', "NaN", "\xff", "{", ""]
)
def test_odd_json_is_one_sentence(text):
    with pytest.raises(UsageError, match=r"cannot read x\.json"):
        parse_json(text.encode("latin-1"), "x.json")


def test_large_json_is_not_parsed():
    with pytest.raises(UsageError, match="larger than 4 bytes"):
        parse_json("[1, 2]", "x.json", max_bytes=4)


@pytest.mark.parametrize("value", [b"[],", b'{"a":1},', b"1.5,"])
def test_json_of_many_values_is_not_parsed(value):
    with pytest.raises(UsageError, match="holds more than 5,000,000 values"):
        parse_json(b"[" + value * 5_000_000 + b"1]", "x.json")


def index_path(folder):
    return min((folder / "__meta__" / "index").glob("*.npy"))


def huge(index):
    buffer = io.BytesIO()
    header = {"descr": index.dtype.descr, "fortran_order": False, "shape": (10**13,)}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue()


def moved(column, value, row=0):
    def change(index):
        index = index.copy()
        index[column][row] = value
        return tar.index_bytes(index)

    return change


def exchanged(*columns):
    def change(index):
        index = index.copy()
        for column in columns:
            index[column][:2] = index[column][1::-1]
        return tar.index_bytes(index)

    return change


INDEXES = {
    "huge": huge,
    "cut": lambda index: tar.index_bytes(index)[:-1],
    "short": lambda index: tar.index_bytes(index[:-1]),
    "text": lambda index: b"hello",
    "outside": moved("png_offset", 2**62),
    "before": moved("png_offset", -1),
    "negative": moved("png_size", -1),
    "large": moved("cls_size", 2**62),
    "beyond the end": moved("cls_size", 2**20, -1),
    "negative at the end": moved("cls_size", -1, -1),
    "another's label": exchanged("cls_offset", "cls_size"),
    "another's image": exchanged("png_offset", "png_size"),
    "key": moved("key", b"\xff"),
}


@pytest.mark.parametrize("name", INDEXES)
def test_an_index_is_not_believed(folder, name):
    path = index_path(folder)
    path.write_bytes(INDEXES[name](np.load(path)))
    manifest = read_manifest(folder)
    dataset = open_dataset(folder)
    assert any("index" in problem for problem in check_files(folder, lambda entry: None))
    with pytest.raises(Mismatch, match="index"):
        [dataset[key] for key in dataset]
    with pytest.raises(UsageError, match="index"):
        open_split(folder, manifest, "train").read_sample(0, 0)


def written(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as file:
        for info, content in members:
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def member(name, kind=tarfile.REGTYPE, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


TARS = {
    "up": [(member("../00000_00000.png"), b"x")],
    "absolute": [(member("/00000_00000.png"), b"x")],
    "ending": [(member("00000_00000.so"), b"x")],
    "link": [(member("00000_00000.png", tarfile.SYMTYPE, "/etc/passwd"), b"")],
    "hard link": [(member("00000_00000.png", tarfile.LNKTYPE, "00001_00000.png"), b"")],
    "device": [(member("00000_00000.png", tarfile.CHRTYPE), b"")],
    "twice": [(member("00000_00000.png"), b"x"), (member("00000_00000.png"), b"y")],
}


@pytest.mark.parametrize("name", TARS)
def test_a_tar_is_not_believed(tmp_path, name):
    path = tmp_path / "x-train-000000.tar"
    path.write_bytes(written(TARS[name]))
    with pytest.raises(ValueError, match=r"member of a shard|tar file of fdsl|twice"):
        list(tar.read_samples(path))
    with pytest.raises(ValueError, match=r"member of a shard|tar file of fdsl|twice"):
        tar.scan_index(path, ["png"])


def test_a_damaged_marker_counts_as_missing(folder):
    marker = min((folder / "__meta__" / "markers").glob("*.json"))
    opened = open_for_writing(folder)
    assert opened.missing() == []
    data = json.loads(marker.read_bytes())
    data["shard"]["samples"] += 1
    for text in ["[" * 100_000, "[]", '{"shard": 3}', "", json.dumps(data)]:
        marker.write_text(text)
        assert [folder / opened.paths(shard).marker for shard in opened.missing()] == [marker]


def spoil_label(folder):
    """Another label in a shard, its size as it was."""
    path = folder / read_manifest(folder).splits["train"].shards[0].file
    at = int(np.load(index_path(folder))["cls_offset"][0])
    content = bytearray(path.read_bytes())
    content[at] = ord("0") + (content[at] - ord("0") + 1) % 4
    path.write_bytes(content)


def test_a_decoded_copy_is_checked_before_it_is_kept(folder, small_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    spoil_label(folder)
    source = open_split(folder, read_manifest(folder), "train")
    with pytest.raises(Mismatch, match="does not hold the images and labels"):
        decode_once(source)
    good = open_split(small_folder, read_manifest(small_folder), "train")
    copy = decode_once(good)
    assert copy is not None
    assert copy.read_sample(0).label == good.read_sample(0, 0).label


def test_export_compares_shards_before_it_writes(folder, tmp_path):
    spoil_label(folder)
    with pytest.raises(Mismatch, match="sha256"):
        export_tree(folder, tmp_path / "out", lambda count: None)
    assert not list((tmp_path / "out").rglob("*.png"))


@pytest.mark.parametrize("name", ["manifest.json", "index", "tar", "recipe.json"])
def test_changed_bytes_give_a_sentence_or_the_same_bytes(folder, name):
    paths = [
        p for p in sorted(folder.rglob("*")) if p.is_file() and name in (p.name, p.parent.name)
    ]
    path = (paths or sorted(folder.glob("*.tar")))[0]
    good = path.read_bytes()
    before = {key: sample.image for key, sample in open_dataset(folder).items()}
    rng = np.random.default_rng(0)
    for at in rng.integers(0, len(good), 12):
        changed = bytearray(good)
        changed[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        try:
            open_for_writing(folder)
            problems = check_files(folder, lambda entry: None)
            after = open_dataset(folder)
            if not problems:
                assert all(np.array_equal(after[key].image, before[key]) for key in after)
        except FdslError:
            pass
    path.write_bytes(good)


YAMLS = {
    "laughs": ("seed: &a [x, x]\nname: [*a, *a]\n", "references"),
    "deep": ("[" * 5000, "nested too deeply"),
    "long number": ("seed: " + "9" * 5000, "4300 digits"),
    "date": ("seed: 2000-99-99", "month must be in"),
    "list for a key": ("? [a]\n: b\n", "unhashable"),
    "large number": ("variant: {kind: fractal-1, delta: 1" + "0" * 400 + "}", "too large"),
    "bytes": ("\x00", "special characters"),
}


@pytest.mark.parametrize("name", YAMLS)
def test_odd_yaml_is_one_sentence(name, tmp_path):
    path = tmp_path / "x.yaml"
    text, words = YAMLS[name]
    path.write_text(text)
    with pytest.raises(UsageError, match=words) as caught:
        load_recipe(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_recipe_is_a_regular_file(tmp_path):
    os.mkfifo(tmp_path / "x.yaml")
    with pytest.raises(UsageError, match="not a regular file"):
        load_recipe(tmp_path / "x.yaml")
    (tmp_path / "y.yaml").symlink_to("/dev/zero")
    with pytest.raises(UsageError, match="not a regular file"):
        load_recipe(tmp_path / "y.yaml")


def block(**changes):
    rows = np.arange(18.0).reshape(3, 6)
    arrays = {"affine": rows, "cumulative": np.array([0.5, 1, 1]), "lengths": np.array([2, 1])}
    arrays |= {"tries": np.array([1, 1]), "quality": np.array([0.5, 0.5])}
    return arrays | changes


BLOCKS = {
    "negative": block(lengths=np.array([-1, 4])),
    "zero": block(lengths=np.array([3, 0])),
    "long": block(lengths=np.array([2, 2])),
    "wide": block(affine=np.zeros((3, 7))),
    "type": block(affine=np.zeros((3, 6), np.float32)),
    "nan": block(affine=np.full((3, 6), np.nan)),
    "flat": block(affine=np.zeros(18)),
    "short": block(tries=np.array([1])),
    "large": block(cumulative=np.zeros(1 << 22)),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_of_categories_is_not_believed(name, tmp_path):
    np.savez_compressed(block_path(tmp_path, 0), **block())
    assert [len(one.affine) for one in read_block(tmp_path, 0, seed=0)] == [2, 1]
    np.savez_compressed(block_path(tmp_path, 0), **BLOCKS[name])
    with pytest.raises(UNREADABLE):
        read_block(tmp_path, 0, seed=0)
