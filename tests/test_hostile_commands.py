"""Hostile files through the commands that read them: one sentence, and nothing written outside."""

import dataclasses
import io
import json
import os
import pickle
import shutil
import struct
import zipfile
import zlib
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from fdsl_gen import generate, load_recipe
from fdsl_gen.archive import png, tar
from fdsl_gen.storage.local import LocalStore
from fdsl_gen.storage.manifest import read_manifest
from fdsl_gen.storage.objects import ObjectStore
from tests.fdsl_gen.cli.test_paths import run_gen, run_train
from tests.fdsl_gen.dataset.test_hostile import MANIFESTS
from tests.fdsl_train.conftest import write_recipe
from tests.fuzz_bytes import make_run
from tests.limits import cheap

TAR = "rcdb-1k-train-000000.tar"
META = "__meta__"


def write(name, content):
    def spoil(folder):
        (folder / name).write_bytes(content)

    return spoil


def edit(name, change):
    def spoil(folder):
        data = json.loads((folder / name).read_bytes())
        change(data)
        (folder / name).write_text(json.dumps(data))

    return spoil


def fifo(name):
    def spoil(folder):
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return spoil


def link(name, target):
    def spoil(folder):
        (folder / name).unlink()
        (folder / name).symlink_to(target)

    return spoil


def bomb(side):
    """A gray PNG of side x side pixels, all black: a thousandth of its pixels in bytes."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    packer = zlib.compressobj(1)
    rows = b"".join(packer.compress(bytes(side + 1)) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", rows), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def reshard(**members):
    """Other members in every sample of the first shard, all that speaks of it made to fit."""

    def spoil(folder):
        samples = [
            tar.Encoded(one.key, tuple((e, members.get(e, c)) for e, c in one.members))
            for one in tar.read_samples(folder / TAR)
        ]
        content = b"".join(tar.tar_parts(samples))
        (folder / TAR).write_bytes(content)
        index = tar.index_of(samples, read_manifest(folder).members)
        (folder / META / "index" / TAR).with_suffix(".npy").write_bytes(tar.index_bytes(index))
        manifest = read_manifest(folder)
        train = manifest.splits["train"]
        facts = {"bytes": len(content), "sha256": sha256(content).hexdigest()}
        first = dataclasses.replace(train.shards[0], **facts)
        train = dataclasses.replace(train, shards=(first, *train.shards[1:]))
        fitting = dataclasses.replace(manifest, splits=manifest.splits | {"train": train})
        (folder / "manifest.json").write_bytes(fitting.to_json())

    return spoil


def huge_index(folder):
    path = min((folder / META / "index").glob("*.npy"))
    buffer = io.BytesIO()
    header = {"descr": np.load(path).dtype.descr, "fortran_order": False, "shape": (10**13,)}
    np.lib.format.write_array_header_1_0(buffer, header)
    path.write_bytes(buffer.getvalue())


DEEP = b"[" * 100_000
LABELS = {"pretrain", "finetune", "eval", "knn"}  # read labels and pixels
READ_MANIFEST = {"verify", "export", "upload", "download", *LABELS}
READ_RECIPE = {"status", "finalize", "verify"}
OWNER = f"{META}/recipe.json"

# How a dataset is spoilt, and the commands that must not succeed then.
DATASETS = {
    "manifest: path": (edit("manifest.json", MANIFESTS["path"]), READ_MANIFEST),
    "manifest: absolute": (edit("manifest.json", MANIFESTS["absolute"]), READ_MANIFEST),
    "manifest: split": (edit("manifest.json", MANIFESTS["split"]), READ_MANIFEST),
    "manifest: samples": (edit("manifest.json", MANIFESTS["samples"]), READ_MANIFEST),
    "manifest: classes": (edit("manifest.json", MANIFESTS["classes"]), READ_MANIFEST),
    "manifest: deep": (write("manifest.json", DEEP), READ_MANIFEST),
    "manifest: fifo": (fifo("manifest.json"), READ_MANIFEST | {"finalize"}),
    "manifest: device": (link("manifest.json", "/dev/zero"), READ_MANIFEST | {"finalize"}),
    "recipe: deep": (write(OWNER, DEEP), READ_RECIPE),
    "recipe: text": (write(OWNER, b"\xff\xfe"), READ_RECIPE),
    "recipe: other": (edit(OWNER, lambda d: d["recipe"].update(seed=7)), READ_RECIPE),
    "recipe: kind": (edit(OWNER, lambda d: d["recipe"].update(variant={"kind": []})), READ_RECIPE),
    "recipe: fifo": (fifo(OWNER), READ_RECIPE),
    "tar: fifo": (fifo(TAR), READ_MANIFEST | {"finalize"}),
    "tar: device": (link(TAR, "/dev/zero"), READ_MANIFEST | {"finalize"}),
    "tar: cut": (write(TAR, b"x" * 512), READ_MANIFEST | {"finalize"}),
    "index: huge": (huge_index, {"verify", *LABELS}),
    "index: fifo": (fifo(f"{META}/index/{TAR[:-4]}.npy"), {"verify", *LABELS}),
    "png: bomb": (reshard(png=bomb(20_000)), {"render", "export", *LABELS}),
    "png: large": (reshard(png=bomb(12_000)), {"render", "export", *LABELS}),
    "png: larger": (reshard(png=bomb(33)), {"render", "export", *LABELS}),
    "png: text": (reshard(png=b"hello"), {"render", "export", *LABELS}),
    "cls: huge": (reshard(cls=b"9" * 400), {"render", "export", *LABELS}),
    "cls: beyond": (reshard(cls=b"10"), {"render", "export", *LABELS}),
}


WRITTEN = {"tiny.yaml", "tune.yaml", "tree", "up", "down", "run", "tuned"}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A finished dataset with a validation split."""
    counts = {"num_categories": 10, "num_instances": 4, "validation_instances": 1, "num_shards": 2}
    folder = tmp_path_factory.mktemp("hostile") / "set"
    generate(load_recipe("rcdb-1k", image_size=32, **counts), folder, workers=1)
    return folder


@pytest.fixture(scope="module")
def run(good, tmp_path_factory):
    """A finished run on it."""
    return make_run(good, tmp_path_factory.mktemp("hostile") / "run")


def commands(data, model, out):
    """Every command that reads a dataset; those of storage take a folder for a bucket."""
    train = ["--recipe", write_recipe(out / "tiny.yaml", steps=2, warmup_steps=1)]
    tune = write_recipe(
        out / "tune.yaml", purpose="finetune", model=None, img_size=None, patch_size=None,
        embed_dim=None, depth=None, num_heads=None, steps=2, warmup_steps=1,
    )  # fmt: skip
    one = ["--workers", 0, "--device", "cpu"]
    return {
        "status": (run_gen, ["status", data]),
        "verify": (run_gen, ["verify", data]),
        "render": (run_gen, ["verify", data, "--render", 40]),
        "export": (run_gen, ["export", data, "--imagefolder", out / "tree"]),
        "upload": (run_gen, ["upload", data, "s3://bucket/up"]),
        "download": (run_gen, ["download", "s3://bucket/set", out / "down"]),
        "pretrain": (run_train, ["pretrain", "--data", data, "--output", out / "run", *train]),
        "finetune": (
            run_train,
            [
                *("finetune", "--data", data, "--output", out / "tuned"),
                *("--checkpoint", model, "--recipe", tune),
            ],
        ),
        "eval": (run_train, ["eval", model, "--data", data, "--split", "train", *one]),
        "knn": (run_train, ["knn", model, "--data", data, *one]),
        "finalize": (run_gen, ["finalize", data]),  # the last: it may mend
    }


class Unheard:
    """Takes the place of capsys, which a fixture of the module cannot have."""

    @staticmethod
    def readouterr():
        return SimpleNamespace(err="")


@pytest.fixture(scope="module", autouse=True)
def codes(good, run, tmp_path_factory):
    """How the commands end on a good dataset; all they import is imported then."""
    out = tmp_path_factory.mktemp("good")
    Image.new("L", (32, 32)).save(out / "x.png")
    started = commands(good, run, out)
    started["attention"] = run_train, ["attention", run, out / "x.png", "--out", out / "y.png"]
    with pytest.MonkeyPatch.context() as patch:
        stand_in_for_buckets(patch, good, out)
        return {
            command: start(arguments, Unheard, patch)[0]
            for command, (start, arguments) in started.items()
        }


def test_all_commands_succeed_on_a_good_dataset(codes):
    """Else the refusals below would say nothing."""
    assert set(codes.values()) == {0}, codes


def stand_in_for_buckets(monkeypatch, data, out):
    """A folder for s3://bucket/set, and another for what is uploaded."""
    monkeypatch.setattr(
        ObjectStore,
        "at",
        lambda url, options=None: LocalStore(data if "/set" in url else out / "up"),
    )


def everything(folder):
    return {path.relative_to(folder) for path in folder.rglob("*")}


@pytest.mark.parametrize("name", DATASETS)
def test_a_hostile_dataset(name, good, run, tmp_path, capsys, monkeypatch):
    data = shutil.copytree(good, tmp_path / "in" / "set")
    (tmp_path / "out").mkdir()
    stand_in_for_buckets(monkeypatch, data, tmp_path / "out")
    spoil, refusing = DATASETS[name]
    spoil(data)
    for command, (start, arguments) in commands(data, run, tmp_path / "out").items():
        before = everything(tmp_path / "in")
        with cheap():
            code, said = start(arguments, capsys, monkeypatch)
        sentences = said.splitlines()
        assert "Traceback" not in said, (command, said)
        refused = (2, 3, 4) if command == "finalize" else (2, 4)  # 3: it is not complete
        if command in refusing:
            assert code in refused, (command, code, said)
        if code != 0:
            assert code in refused, (command, code, said)
            assert len(sentences) == 1, (command, said)
            assert sentences[0].startswith("fdsl-"), (command, said)
        if command != "finalize":
            assert everything(tmp_path / "in") == before, command
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out"}
    assert {path.name for path in (tmp_path / "in").iterdir()} == {"set"}
    assert {path.name for path in (tmp_path / "out").iterdir()} <= WRITTEN


@pytest.mark.parametrize("mask", [np.zeros((8, 8)), np.full((32, 32), 200)], ids=["size", "class"])
def test_a_hostile_mask_is_not_exported(mask, tmp_path, capsys, monkeypatch):
    counts = {"num_categories": 4, "num_images": 3, "num_shards": 1, "image_size": 32}
    generate(load_recipe("segrcdb", **counts), tmp_path / "set", workers=1)
    changed = {"mask.png": png.encode(mask.astype(np.uint8), "gray8")}
    monkeypatch.setattr("tests.test_hostile_commands.TAR", "segrcdb-train-000000.tar")
    reshard(**changed)(tmp_path / "set")
    arguments = ["export", tmp_path / "set", "--imagefolder", tmp_path / "out"]
    code, said = run_gen(arguments, capsys, monkeypatch)
    assert (code, said.count("\n")) == (4, 1), said


def test_names_in_data_do_not_speak_to_the_terminal(good, run, tmp_path, capsys, monkeypatch):
    for part in ("train", "val"):
        for name in map(str, range(10)):
            (tmp_path / "tree" / part / name).mkdir(parents=True)
            Image.new("L", (32, 32)).save(tmp_path / "tree" / part / name / "x.png")
    (tmp_path / "tree" / "val" / "0" / "a\n\x1b[2J.png").write_bytes(b"hello")
    arguments = ["eval", run, "--data", tmp_path / "tree", "--workers", 0, "--device", "cpu"]
    code, said = run_train(arguments, capsys, monkeypatch)
    assert (code, said.count("\n")) == (2, 1), said
    assert r"/val/0/a\n\x1b[2J.png: it is damaged" in said


class Payload:
    """What runs code where a pickle is believed."""

    def __reduce__(self):
        return os.mkdir, ("payload",)


MODELS = {
    "text": lambda path: path.write_text("hello"),
    "empty": lambda path: path.write_bytes(b""),
    "fifo": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "folder": lambda path: path.mkdir(),
    "pickle": lambda path: path.write_bytes(pickle.dumps(Payload())),
    "torch": lambda path: torch.save({"model": Payload()}, path),
    "zip": lambda path: zipfile.ZipFile(path, "w").close(),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_hostile_checkpoint(name, good, run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("in", "out", "in/run"):
        Path(folder).mkdir()
    model = tmp_path / "in" / "last.pth.tar"
    MODELS[name](model)
    shutil.copyfile(run / "args.yaml", "in/run/args.yaml")
    MODELS[name](tmp_path / "in" / "run" / "last.pth.tar")
    Image.new("L", (32, 32)).save("in/x.png")
    resumed = ["pretrain", "--data", good, "--output", "in/run", "--resume", "auto"]
    known = commands(good, model, tmp_path / "out")
    started = [known[one][1] for one in ("finetune", "eval", "knn")]
    started += [["attention", model, "in/x.png", "--out", "out/x.png"]]
    started += [[*resumed, *known["pretrain"][1][-2:]]]
    for arguments in started:
        with cheap():
            code, said = run_train(arguments, capsys, monkeypatch)
        assert code in (2, 4), (arguments, said)
        assert said.count("\n") == 1, (arguments, said)
    assert not Path("payload").exists()


RECIPES = {
    "laughs": "a: &a [x, x]\nb: [*a, *a]\n",
    "deep": "[" * 5000,
    "text": "hello",
    "list": "- 1",
    "kind": "name: x\nvariant: {kind: ../x}\n",
    "name": "name: ../x\nnum_categories: 1\nvariant: {kind: fractal-1}\n",
    "train name": "../x",
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_hostile_recipe(name, good, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("x.yaml").write_text(RECIPES[name])
    for command in ("run", "preview", "categories", "show"):
        with cheap():
            code, said = run_gen([command, "./x.yaml"], capsys, monkeypatch)
        assert (code, said.count("\n")) == (2, 1), (command, said)
    arguments = ["pretrain", "--data", good, "--output", "run", "--recipe", "./x.yaml"]
    with cheap():
        code, said = run_train(arguments, capsys, monkeypatch)
    assert (code, said.count("\n")) == (2, 1), said
    assert [path.name for path in tmp_path.iterdir()] == ["x.yaml"]
