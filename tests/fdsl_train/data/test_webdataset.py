"""WebDataset shards of others: every sample once, labeled right, none left out in silence."""

import io
import json
import os
import pickle
import subprocess
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import webdataset
from PIL import Image
from webdataset.tariterators import group_by_keys, tar_file_expander

from fdsl_gen.core.errors import UsageError
from fdsl_train.data.locate.dataset import DatasetLocation
from fdsl_train.data.locate.tar_index import scan
from fdsl_train.data.locate.tar_sets import find_tars
from fdsl_train.data.open import DataSpec, open_eval, open_pretrain, open_train_val
from fdsl_train.data.sources.base import num_samples
from fdsl_train.data.tars import TarOptions
from fdsl_train.models.class_labels import model_labels
from tests.fdsl_train.conftest import FINETUNE, run, write_recipe

CLASSES = 3


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """The user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def picture(number: int, color: bool = False) -> Image.Image:
    shape = (12, 10 + number % 3, 3) if color else (12, 10 + number % 3)
    values = np.random.default_rng(number).integers(0, 256, shape, np.uint8)
    return Image.fromarray(values)


def encoded(number: int, kind: str = "png", color: bool = False) -> bytes:
    buffer = io.BytesIO()
    formats = {"jpg": "JPEG", "jpeg": "JPEG", "png": "PNG", "webp": "WEBP", "ppm": "PPM"}
    how = {"quality": 90} if kind != "webp" else {"lossless": True}
    picture(number, color).save(buffer, formats[kind.lower()], **how)
    return buffer.getvalue()


def write_set(folder: Path, names: list[str], each: int = 5) -> Path:
    """Tars by the library's own writer; sample i has class i % CLASSES."""
    folder.mkdir(parents=True, exist_ok=True)
    number = 0
    for name in names:
        with webdataset.TarWriter(str(folder / name)) as writer:
            for _ in range(each):
                sample = {"__key__": f"{number:06d}", "png": encoded(number)}
                writer.write(sample | {"cls": number % CLASSES, "json": {"kind": f"k{number % 3}"}})
                number += 1
    return folder


def spec(data, **how) -> DataSpec:
    val = how.pop("val_data", None)
    place = None if val is None else DatasetLocation(data=val)
    return DataSpec(place=DatasetLocation(data=data), tars=TarOptions(**how), val_data=place)


def samples_of(source):
    """Pixels and labels in file order."""
    for shard, size in enumerate(source.shard_sizes):
        for row in range(size):
            sample = source.read_sample(shard, row)
            yield np.asarray(sample.image), sample.label


def by_the_library(tars: list[Path], key: str | None = None):
    """The same read by webdataset, which leaves closing the files to others."""
    for tar in tars:
        with tar.open("rb") as stream:
            files = tar_file_expander([{"url": tar.name, "stream": stream}])
            for one in group_by_keys(files):
                if "cls" not in one:  # it takes ._hidden.jpg for the sample of a folder
                    continue
                (kind,) = {"jpg", "jpeg", "png", "webp", "ppm"} & set(one)
                image = Image.open(io.BytesIO(one[kind]))
                yield np.asarray(image), json.loads(one["json"])[key] if key else int(one["cls"])


def assert_same(source, tars, key=None):
    ours, theirs = list(samples_of(source)), list(by_the_library(tars, key))
    assert len(ours) == len(theirs) == num_samples(source)
    for (pixels, label), (expected, known) in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(pixels, expected)
        assert (source.class_names[label] if isinstance(known, str) else label) == known


def test_shards_of_the_librarys_writer(tmp_path):
    with webdataset.ShardWriter(
        f"{tmp_path}/set-%04d.tar", maxcount=4, verbose=0, mtime=0
    ) as writer:
        for number in range(10):
            kind = ("png", "jpg", "jpeg", "webp", "ppm")[number % 5]
            image = encoded(number, kind, color=kind in ("webp", "ppm"))
            writer.write({"__key__": f"a/{number}", kind: image, "cls": number % CLASSES})
    source = open_pretrain(spec(tmp_path)).train
    assert source.shard_sizes == (4, 4, 2)
    assert source.num_classes == CLASSES
    assert_same(source, sorted(tmp_path.glob("*.tar")))
    again = pickle.loads(pickle.dumps(source))
    assert again.digest == source.digest
    assert_same(again, sorted(tmp_path.glob("*.tar")))


@pytest.mark.parametrize("form", ["gnu", "pax", "ustar", "v7"])
def test_tars_of_gnu_tar(tmp_path, form):
    """Folders, ``./`` before names, owners, long names, times before the dot's second."""
    below = tmp_path / "files" / ("n" * 60) / "Größe"
    below = tmp_path / "files" if form == "v7" else below
    below.mkdir(parents=True)
    for number in range(6):
        stem = f"{'x' * (120 if form in ('gnu', 'pax') else 30)}-{number}"
        (below / f"{stem}.JPG").write_bytes(encoded(number, "jpg"))
        (below / f"{stem}.cls").write_text(f"{number % CLASSES}\n")
    (below / "._hidden.jpg").write_bytes(b"not an image")
    tar = tmp_path / "tars" / "a.tar"
    tar.parent.mkdir()
    owner = [] if form == "v7" else ["--owner=somebody:1234567", "--group=somegroup:7654321"]
    if form == "ustar":
        owner = ["--owner=somebody:1234"]
    words = ["tar", f"--format={form}", "--sort=name", *owner, "-cf", str(tar), "./"]
    subprocess.run(words, cwd=tmp_path / "files", check=True)
    source = open_pretrain(spec(tar.parent)).train
    assert num_samples(source) == 6
    assert_same(source, [tar])


def test_members_need_not_be_neighbors(tmp_path):
    """GNU tar writes in the order of the folder; a set read by offset does not mind."""
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for kind in ("png", "cls"):
            for number in range(4):
                content = encoded(number) if kind == "png" else str(number % 2).encode()
                add(tar, f"{number}.{kind}", content)
    source = open_pretrain(spec(tmp_path)).train
    for number, (pixels, label) in enumerate(samples_of(source)):
        np.testing.assert_array_equal(pixels, np.asarray(picture(number)))
        assert label == number % 2


def add(tar: tarfile.TarFile, name: str, content: bytes, **facts) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for key, value in facts.items():
        setattr(member, key, value)
    tar.addfile(member, io.BytesIO(content))


def test_labels_of_json_may_be_texts(tmp_path):
    folder = write_set(tmp_path / "set", ["a-0.tar", "a-1.tar"])
    source = open_pretrain(spec(folder, label_key="kind")).train
    assert source.class_names == ("k0", "k1", "k2")
    assert_same(source, sorted(folder.glob("*.tar")), "kind")


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("classnames.txt", "ant\nbee\ncat\n"),
        ("_info.json", json.dumps({"class_names": ["ant", "bee", "cat"]})),
        ("dataset_info.json", json.dumps({"features": {"cls": {"names": ["ant", "bee", "cat"]}}})),
        (
            "README.md",
            "---\ndataset_info:\n  features:\n  - name: jpg\n    dtype: image\n  - name: label\n"
            "    dtype:\n      class_label:\n        names:\n          '0': ant\n"
            "          '2': cat\n          '1': bee\n---\n# A set\n",
        ),
    ],
)
def test_names_of_classes(tmp_path, file, content):
    folder = write_set(tmp_path / "set", ["a-0.tar"])
    (folder / file).write_text(content)
    assert open_pretrain(spec(folder)).train.class_names == ("ant", "bee", "cat")
    (folder / file).write_text(content.replace("bee", "").replace(", cat", ""))
    if file != "README.md":
        with pytest.raises(UsageError, match=r"names of the classes|label 2, but there are 2"):
            open_pretrain(spec(folder))


def info(folder: Path, **changes) -> None:
    names = sorted(path.name for path in folder.glob("*.tar"))
    split = {"name": "train", "filenames": names, "shard_lengths": [5] * len(names)}
    split["num_samples"] = 5 * len(names)
    (folder / "_info.json").write_text(json.dumps({"splits": {"train": split | changes}}))


def test_timms_info_is_honored_and_checked(tmp_path):
    folder = write_set(tmp_path / "set", ["part-0.tar", "part-1.tar"])
    info(folder)
    assert num_samples(open_pretrain(spec(folder)).train) == 10
    info(folder, alt_label="kind")
    assert open_pretrain(spec(folder)).train.class_names == ("k0", "k1", "k2")
    info(folder, shard_lengths=[5, 6], num_samples=11)
    with pytest.raises(UsageError, match=r"part-1.tar: holds 5 samples, _info.json says 6"):
        open_pretrain(spec(folder))
    assert num_samples(open_pretrain(spec(folder, skip_bad=1)).train) == 10
    info(folder, shard_lengths=[5, 4], num_samples=9)
    with pytest.raises(UsageError, match=r"part-1.tar holds 5 samples, and _info.json says 4"):
        open_pretrain(spec(folder))
    for changes, words in (
        ({"num_samples": 9}, "sum to 10"),
        ({"shard_lengths": [5]}, "must be 2 numbers"),
        ({"filenames": ["../x.tar", "y.tar"]}, "is not the name of a tar beside it"),
        ({"filenames": ["part-0.tar", "part-0.tar"]}, "stands there twice"),
        ({"filenames": ["part-0.tar", "part-7.tar"]}, "names part-7.tar, which is not there"),
    ):
        info(folder, **changes)
        with pytest.raises(UsageError, match=words):
            open_pretrain(spec(folder))


def test_splits_by_names_folders_and_patterns(tmp_path):
    folder = write_set(tmp_path / "one", ["in-train-0.tar", "in-train-1.tar", "in-val-0.tar"])
    opened = open_train_val(spec(folder), val_split=None, seed=0)
    assert [num_samples(part) for part in (opened.train, opened.validation)] == [10, 5]
    assert opened.label == "val"
    write_set(tmp_path / "two" / "train", ["0.tar", "1.tar"])
    write_set(tmp_path / "two" / "test", ["0.tar"])
    opened = open_train_val(spec(tmp_path / "two"), val_split=None, seed=0)
    assert [num_samples(part) for part in (opened.train, opened.validation)] == [10, 5]
    pattern = f"{folder}/in-train-{{0..1}}.tar"
    opened = open_train_val(spec(pattern, val_data=folder), val_split=None, seed=0)
    assert [num_samples(part) for part in (opened.train, opened.validation)] == [10, 5]
    assert num_samples(open_eval(spec(folder), "train")[0]) == 10
    assert num_samples(open_eval(spec(folder), None)[0]) == 5
    for data, words in (
        (f"{folder}/in-train-{{0..2}}.tar", r"in-train-2.tar is not there"),
        (pattern, "no tars to validate on"),
    ):
        with pytest.raises(UsageError, match=words):
            open_train_val(spec(data), val_split=None, seed=0)
    with pytest.raises(UsageError, match="has no split dev"):
        open_eval(spec(folder), "dev")


def test_a_tenth_is_held_out(tmp_path):
    folder = write_set(tmp_path / "set", ["a-0.tar", "a-1.tar", "a-2.tar"])
    opened = open_train_val(spec(folder), val_split=0.2, seed=3)
    train, held = (list(samples_of(part)) for part in (opened.train, opened.validation))
    assert sorted(label for _, label in held) == [0, 1, 2]
    assert len(train) == 12
    seen = {pixels.tobytes() for pixels, _ in train} | {pixels.tobytes() for pixels, _ in held}
    assert len(seen) == 15


def test_what_is_kept_is_by_name_size_and_time(tmp_path, monkeypatch):
    folder = write_set(tmp_path / "set", ["a-0.tar", "a-1.tar"])
    read: list[str] = []

    def counted(path, name, key):
        read.append(name)
        return scan(path, name, key)

    monkeypatch.setattr("fdsl_train.data.locate.tar_index.scan", counted)
    first = open_pretrain(spec(folder)).train
    assert sorted(read) == ["a-0.tar", "a-1.tar"]
    assert open_pretrain(spec(folder)).train.digest == first.digest
    assert len(read) == 2
    os.utime(folder / "a-1.tar", ns=(0, 1))
    open_pretrain(spec(folder))
    assert read[2:] == ["a-1.tar"]
    for kept in (tmp_path / "cache" / "fdsl" / "tars").iterdir():
        kept.write_bytes(kept.read_bytes()[:-3])
    assert open_pretrain(spec(folder)).train.digest == first.digest
    assert len(read) == 5


def test_of_several_that_ask_at_once_one_reads(tmp_path, monkeypatch):
    folder = write_set(tmp_path / "set", ["a-0.tar", "a-1.tar", "a-2.tar"])
    read: list[str] = []

    def slowly(path, name, key):
        read.append(name)
        time.sleep(0.05)
        return scan(path, name, key)

    monkeypatch.setattr("fdsl_train.data.locate.tar_index.scan", slowly)
    with ThreadPoolExecutor(3) as pool:
        found = {source.train.digest for source in pool.map(open_pretrain, [spec(folder)] * 3)}
    assert len(found) == 1
    assert sorted(read) == ["a-0.tar", "a-1.tar", "a-2.tar"]


FAULTS = {
    "no image": [("x.cls", b"1")],
    "no label": [("x.png", encoded(1)), ("x.json", b'{"kind": 1}')],
    "two images": [("x.png", encoded(1)), ("x.jpg", encoded(1, "jpg")), ("x.cls", b"1")],
    "twice": [("x.png", encoded(1)), ("x.cls", b"1"), ("x.png", encoded(2))],
    "an archive in the archive": [("x.tar", b"")],
    "not the number of a class": [("x.png", encoded(1)), ("x.cls", b"-1")],
    "an empty image": [("x.png", b""), ("x.cls", b"1")],
}


@pytest.mark.parametrize("words", FAULTS)
def test_faults_are_counted_and_refused_unless_allowed(tmp_path, words, caplog):
    folder = write_set(tmp_path / "set", ["a-0.tar"])
    with tarfile.open(folder / "a-1.tar", "w") as tar:
        for name, content in FAULTS[words]:
            add(tar, name, content)
        add(tar, "y.png", encoded(9))
        add(tar, "y.cls", b"2")
    with pytest.raises(UsageError, match=rf"1 samples or tars .*a-1.tar: .*{words}.*--skip-bad 1"):
        open_pretrain(spec(folder))
    source = open_pretrain(spec(folder, skip_bad=1)).train
    assert source.shard_sizes == (5, 1)
    assert "left out 1 " in caplog.text


@pytest.mark.parametrize("cut", [0, 1, 600, 1024])
def test_a_tar_that_is_cut_is_told_of(tmp_path, cut):
    folder = write_set(tmp_path / "set", ["a-0.tar"], each=20)
    path = folder / "a-0.tar"
    whole = path.read_bytes()
    end = len(whole.rstrip(b"\0"))
    end += -end % 512
    path.write_bytes(whole[: end + 512])  # what it is filled up with is not missed
    assert num_samples(open_pretrain(spec(folder)).train) == 20
    path.write_bytes(whole[: end - cut])
    with pytest.raises(UsageError, match=r"a-0.tar: it is cut short"):
        open_pretrain(spec(folder))
    assert num_samples(open_pretrain(spec(folder, skip_bad=2)).train) >= 19


def test_a_damaged_header_is_not_the_end(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number in range(5):
            add(tar, f"{number}.png", encoded(number))
            add(tar, f"{number}.cls", b"1")
    data = bytearray(path.read_bytes())
    at = data.index(b"3.png")
    data[at] ^= 1
    path.write_bytes(data)
    with tarfile.open(path) as tar:
        assert len(tar.getnames()) == 6  # the library of Python sees nothing wrong
    with pytest.raises(UsageError, match=rf"a.tar: it is damaged at byte {at:,}"):
        open_pretrain(spec(tmp_path))


HOSTILE = {
    "a link": {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"},
    "a hard link": {"type": tarfile.LNKTYPE, "linkname": "a.png"},
    "a device": {"type": tarfile.CHRTYPE},
    "a pipe": {"type": tarfile.FIFOTYPE},
    "a member of the unknown kind": {"type": b"V"},
}


@pytest.mark.usefixtures("cheaply")
@pytest.mark.parametrize("what", HOSTILE)
def test_links_and_devices_are_refused(tmp_path, what):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add(tar, "x.png", b"", **HOSTILE[what])
    with pytest.raises(UsageError, match=f"a.tar holds {what}"):
        open_pretrain(spec(tmp_path, skip_bad=9))


@pytest.mark.usefixtures("cheaply")
@pytest.mark.parametrize("name", ["/etc/x.png", "../x.png", "a/../../x.png"])
def test_names_of_paths_are_refused(tmp_path, name):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add(tar, name, b"x")
    with pytest.raises(UsageError, match="is not the name of a file inside it"):
        open_pretrain(spec(tmp_path, skip_bad=9))


def header(name: bytes, size: int, kind: bytes = b"0") -> bytes:
    """A header that tells any size, its checksum right."""
    block = bytearray(512)
    block[: len(name)] = name
    block[124:136] = b"\x80" + size.to_bytes(11, "big")
    block[156:157] = kind
    block[148:156] = b"%06o\0 " % (sum(block) + 8 * 32)
    return bytes(block)


@pytest.mark.usefixtures("cheaply")
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (header(b"x.png", 1 << 60), "is cut short in x.png"),
        (header(b"x", 1 << 60, b"L"), "header of 1,152,921,504,606,846,976 bytes"),
        (header(b"x", 30, b"x") + b"99 path=x\n".ljust(512, b"\0"), "pax header that cannot be"),
        (
            header(b"x", 16, b"x") + b"16 path=../x.png\n".ljust(512, b"\0"),
            "pax header that cannot",
        ),
        (header(b"x", 14, b"g") + b"14 path=x.png\n".ljust(512, b"\0"), "one path"),
        (header(b"x", 20, b"x") + b"20 GNU.sparse.map=1\n".ljust(512, b"\0"), "a sparse file"),
        (b"no tar at all", "is damaged at byte 0"),
        (b"n" * 1024, "is damaged at byte 0"),
    ],
)
def test_headers_are_not_believed(tmp_path, data, words):
    (tmp_path / "a.tar").write_bytes(data + bytes(1024))
    with pytest.raises(UsageError, match=words):
        open_pretrain(spec(tmp_path))


def test_a_damaged_image_is_named_when_it_is_read(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add(tar, "p/x.png", b"no image")
        add(tar, "p/x.cls", b"0")
        add(tar, "p/y.png", encoded(1))
        add(tar, "p/y.cls", b"1")
    source = open_pretrain(spec(tmp_path)).train
    assert source.read_sample(0, 1).label == 1
    with pytest.raises(UsageError, match=r"a.tar, p/x.png: the image cannot be read"):
        source.read_sample(0, 0)
    (tmp_path / "a.tar").write_bytes(b"shorter")
    with pytest.raises(UsageError, match="it was changed; run the same command again"):
        open_again(source).read_sample(0, 0)


def open_again(source):
    return pickle.loads(pickle.dumps(source))


def test_labels_of_a_part_are_those_of_the_model(tmp_path):
    """A part may lack the highest numbers; texts are counted in an order that must be known."""
    tar_path = str(tmp_path / "a.tar")
    with tarfile.open(tar_path, "w") as tar:
        for number, kind in enumerate(("k1", "k10", "k2")):
            add(tar, f"{number}.png", encoded(number))
            add(tar, f"{number}.cls", str(number).encode())
            add(tar, f"{number}.json", json.dumps({"kind": kind}).encode())
    numbers, _ = open_eval(spec(tar_path), None)
    assert model_labels(SimpleNamespace(class_names=None, num_classes=9), numbers, None) == [
        0, 1, 2,
    ]  # fmt: skip
    texts, _ = open_eval(spec(tar_path, label_key="kind"), None)
    model = SimpleNamespace(class_names=None, num_classes=3, name="x.pth")
    assert model_labels(model, texts, "text") == [0, 1, 2]
    assert model_labels(model, texts, "natural") == [0, 2, 1]
    with pytest.raises(UsageError, match="--class-order natural or --class-order text"):
        model_labels(model, texts, None)


def test_folders_of_images_stay_folders_of_images(tmp_path):
    (tmp_path / "train" / "cat").mkdir(parents=True)
    (tmp_path / "downloaded.tar").write_bytes(b"")
    assert find_tars(tmp_path, None) is None
    with pytest.raises(UsageError, match="holds tars and folders; name the tars by a pattern"):
        open_pretrain(spec(tmp_path))


def test_every_command_takes_them(tmp_path):
    folder = write_set(tmp_path / "set", ["a-train-0.tar", "a-train-1.tar", "a-val-0.tar"], each=6)
    small = {"steps": 2, "warmup_steps": 1, "global_batch_size": 4}
    recipe = write_recipe(tmp_path / "pretrain.yaml", **small)
    out = ["--data", folder, "--output"]
    done = run("pretrain", *out, tmp_path / "p", "--recipe", recipe, "--workers", 2)
    assert done.exit_code == 0, done.output
    assert "12 samples in 2 tars, whose headers were read" in done.output
    tuning = write_recipe(
        tmp_path / "finetune.yaml", **FINETUNE | {"epochs": None, "warmup_epochs": None} | small
    )
    start = ["--checkpoint", tmp_path / "p", "--recipe", tuning, "--label-key", "kind"]
    train, val = f"{folder}/a-train-{{0..1}}.tar", f"{folder}/a-val-0.tar"
    words = ["finetune", *start, "--data", train, "--val-data", val, "--output", tmp_path / "f"]
    done = run(*words)
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "f/export/config.json").read_text())["label_names"] == [
        "k0", "k1", "k2",
    ]  # fmt: skip
    done = run("eval", tmp_path / "f", "--data", val, "--label-key", "kind", "--device", "cpu")
    assert done.exit_code == 0 and "of 6 images" in done.output, done.output
    done = run("knn", tmp_path / "p", "--data", folder, "--k", 3, "--device", "cpu")
    assert done.exit_code == 0 and "12 training images" in done.output, done.output
    more = ["--data", "recipe:moire-224?num_categories=2&num_instances=2&image_size=32"]
    done = run("pretrain", *more, *out, tmp_path / "m", "--recipe", recipe, "--label-key", "kind")
    assert done.exit_code == 0 and "5 classes" in done.output, done.output
    for words, sentence in (
        (["--data", tmp_path / "no-{0..1}.tar"], "no-0.tar is not there"),
        (["--data", train], "give one with --recipe"),
    ):
        done = run("pretrain", *words, "--output", tmp_path / "none")
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
        assert sentence in done.stderr
