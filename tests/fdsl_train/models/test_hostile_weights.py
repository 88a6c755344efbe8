"""Files that are no weights, are damaged, or mean harm: one sentence, and nothing is executed."""

import io
import json
import os
import pickle
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result
from PIL import Image

from fdsl_gen.core.errors import FdslError
from fdsl_train.config import TrainConfig
from fdsl_train.models.architecture import Architecture, create_model
from fdsl_train.models.export import export
from fdsl_train.models.pretrained import read_pretrained
from fdsl_train.models.value_digest import value_digest
from fdsl_train.training import checkpoint
from tests.fdsl_train.conftest import run

pytestmark = pytest.mark.usefixtures("cheaply")

VIT = "vit_tiny_patch16_224"
SIZES = {"img_size": 32, "patch_size": 16, "embed_dim": 24, "depth": 1, "num_heads": 2}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint of ours and an export, of a model that was never trained."""
    folder = tmp_path_factory.mktemp("run")
    settings: dict[str, Any] = {"model": VIT} | SIZES
    model = create_model(Architecture.of(settings), num_classes=3, drop_path=0.0, seed=0)
    config = TrainConfig(
        purpose="finetune", steps=1, global_batch_size=2, lr=1.0, **settings
    ).resolve(num_samples=2)
    export(folder, model, config, tuple("abc"))
    state = {
        "step": 1,
        "config": config.to_dict(),
        "num_classes": 3,
        "class_names": tuple("abc"),
        "model": model.state_dict(),
        "start": "",
        "data": "",
    }
    checkpoint.save(folder / "last.pth.tar", state)
    return folder


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path / "copy")
    return tmp_path / "copy"


def assert_refused(result: Result, sentence: str, code: int = 2) -> None:
    assert result.exit_code == code, (result.output, result.exception)
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert len(result.stderr) < 1000
    assert sentence in result.stderr


def evaluate(path: Path, *more: str) -> Result:
    return run("eval", path, "--data", path.parent, "--model", VIT, *more)


class _Runs:
    """Unpickling it runs a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, ("touch ran",))


def _deep(depth: int = 100_000) -> bytes:
    """A legacy pickle of lists in lists."""
    return b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b"."


def _zip(path: Path, **members: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def _repeated(path: Path) -> None:
    torch.save({"model": {"head.weight": torch.zeros(1).expand(10**6, 10**6)}}, path)


def _compressed(path: Path) -> None:
    """A file of PyTorch packed anew, with room behind it: mapped as it stands, it is noise."""
    plain = io.BytesIO()
    torch.save({"model": {"head.weight": torch.zeros(3_000_000)}}, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(path, "w") as archive:
        for member in source.namelist():
            archive.writestr(member, source.read(member), zipfile.ZIP_DEFLATED)
        archive.writestr("archive/data/9", bytes(12_000_000))


def _boasting(path: Path) -> None:
    """A tensor of a million numbers, of which the file holds ten."""
    plain = io.BytesIO()
    torch.save({"model": {"head.weight": torch.arange(1_000_000.0)}}, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(path, "w") as archive:
        for member in source.namelist():
            data = source.read(member)
            archive.writestr(member, data[:40] if member.endswith("data/0") else data)


FILES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "empty": (lambda p: p.write_bytes(b""), "is not a checkpoint, or it is damaged"),
    "text": (lambda p: p.write_text("weights, soon"), "is not a checkpoint, or it is damaged"),
    "picture": (
        lambda p: Image.new("RGB", (9, 9)).save(p, format="PNG"),
        "is not a checkpoint, or it is damaged",
    ),
    "noise": (
        lambda p: p.write_bytes(random.Random(0).randbytes(4096)),
        "is not a checkpoint, or it is damaged",
    ),
    "zip": (lambda p: _zip(p, a=b"1"), "is not a checkpoint, or it is damaged"),
    "compressed": (_compressed, "is not a checkpoint, or it is damaged"),
    "boasting": (_boasting, "is not a checkpoint, or it is damaged"),
    "repeated": (_repeated, "is not a checkpoint, or it is damaged"),
    "deep": (lambda p: p.write_bytes(_deep()), "is not a checkpoint, or it is damaged"),
    "number": (lambda p: torch.save(3, p), "holds no weights by name but a int"),
    "code": (lambda p: torch.save({"model": _Runs()}, p), "needs posix.system to be read"),
    "pickle": (lambda p: p.write_bytes(pickle.dumps(_Runs())), "is not a checkpoint"),
    "code of ours": (
        lambda p: torch.save({"format": 2, "config": _Runs()}, p),
        "needs posix.system to be read",
    ),
    "pipe": (os.mkfifo, "is not a file"),
    "odd names": (lambda p: torch.save({1: torch.zeros(2), None: 3}, p), "holds no weights"),
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_files_that_are_no_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, ending: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make, sentence = FILES[kind]
    path = tmp_path / f"x{ending}"
    make(path)
    if ending == ".safetensors" and kind != "pipe":
        sentence = "is not a checkpoint, or it is damaged"
    assert_refused(evaluate(path), sentence)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["x" * 300 + ".pth", "no.pth"])
def test_names_of_no_file(tmp_path: Path, name: str) -> None:
    result = evaluate(tmp_path / name)
    assert result.exit_code == 2 and len(result.stderr.strip().splitlines()) == 1


def resaved(folder: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """The checkpoint, changed by somebody who knows the digest."""
    payload = torch.load(folder / "last.pth.tar", weights_only=True)
    change(payload)
    payload.pop("digest")
    torch.save(payload | {"digest": value_digest(payload)}, folder / "x.pth")
    return folder / "x.pth"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda p: p.update(num_classes=10**8), "says it has 100000000 classes, and its head has"),
        (lambda p: p.update(num_classes="3"), "num_classes must be an integer from 0 on, not 3"),
        (lambda p: p.update(num_classes=-3), "num_classes must be an integer from 0 on, not -3"),
        (lambda p: p.update(config=[1]), "is not a checkpoint, or it is damaged"),
        (lambda p: p.update(model=None), "is not a checkpoint, or it is damaged"),
        (lambda p: p["config"].pop("mean"), "mean is missing"),
        (lambda p: p["config"].update(mean=["a"] * 3), "mean[0]: must be a number, not 'a'"),
        (lambda p: p["config"].update(std=[0.0] * 3), "std[0]: must be greater than 0"),
        (lambda p: p["config"].update(mean=[0.5]), "mean must be 3 numbers"),
        (lambda p: p["config"].update(model=7), "model: must be a text"),
        (lambda p: p["config"].update(model="vit_huge"), "timm has no model 'vit_huge'"),
        (lambda p: p["config"].update(depth=10**9), "far fewer than a model with"),
        (lambda p: p["config"].update(embed_dim=2 * 10**6), "far fewer than a model with"),
        (lambda p: p["config"].update(img_size=10**7), "far fewer than a model with"),
        (lambda p: p["config"].update(img_size=-1), "img_size: must be at least 1, not -1"),
        (lambda p: p.update(format=1), "not a checkpoint made by this version of fdsl-train"),
    ],
)
def test_checkpoints_of_ours_that_lie(
    copy: Path, change: Callable[[dict[str, Any]], Any], sentence: str
) -> None:
    assert_refused(run("eval", resaved(copy, change), "--data", classes(copy)), sentence)


def classes(folder: Path) -> Path:
    for name in "abc":
        (folder / "data" / name).mkdir(parents=True)
        Image.new("RGB", (32, 32)).save(folder / "data" / name / "0.png")
    return folder / "data"


def edited(folder: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """The export with another configuration, the digest taken out."""
    path = folder / "export" / "config.json"
    config = json.loads(path.read_text())
    config.pop("fdsl_digest")
    change(config)
    path.write_text(json.dumps(config))
    return folder / "export"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c: c.update(num_classes=10**8), "says it has 100000000 classes, and its head has"),
        (lambda c: c.update(num_classes=[3]), "num_classes must be an integer"),
        (lambda c: c.update(architecture=3), "names no architecture of timm's"),
        (lambda c: c.update(pretrained_cfg=3), "must be mappings"),
        (lambda c: c["pretrained_cfg"].update(input_size="x"), "must be [3, SIDE, SIDE]"),
        (lambda c: c["pretrained_cfg"].update(input_size=[3, 2, 4]), "must be [3, SIDE, SIDE]"),
        (lambda c: c["pretrained_cfg"].update(crop_pct=[]), "crop_pct: must be a number"),
        (lambda c: c["pretrained_cfg"].update(mean=[1e999] * 3), "is no sound JSON"),
        (lambda c: c["model_args"].update(embed_dim="x" * 5000), "embed_dim: must be an integer"),
        (lambda c: c["model_args"].update(depth=10**9), "far fewer than a model with"),
    ],
)
def test_configurations_that_lie(
    copy: Path, change: Callable[[dict[str, Any]], Any], sentence: str
) -> None:
    assert_refused(run("eval", edited(copy, change), "--data", classes(copy)), sentence)


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 100_000, "3", '{"a": ' * 100_000, "9" * 10_000, "\udcff"]
)
def test_configurations_that_are_none(copy: Path, text: str) -> None:
    (copy / "export" / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert_refused(run("eval", copy / "export", "--data", copy), "is not an exported model")


def readable(path: Path) -> str | None:
    """Digest of the weights and settings that come out; None where a sentence refuses."""
    try:
        trained = read_pretrained(path, {"model": VIT})
    except FdslError as error:
        assert "\n" not in str(error)
        return None
    kept = [trained.num_classes, trained.class_names, trained.inputs.settings()]
    return value_digest([trained.digest(), kept, vars(trained.architecture)])


@pytest.mark.parametrize("name", ["last.pth.tar", "export/model.safetensors", "export/config.json"])
def test_a_flipped_bit_is_noticed(trained: Path, copy: Path, name: str) -> None:
    """Or it changes nothing: some bytes are padding, and times in a zip archive."""
    sound = (trained / name).read_bytes()
    start = copy / "last.pth.tar" if name == "last.pth.tar" else copy / "export"
    expected = readable(start)
    assert expected is not None
    generator = random.Random(0)
    noticed = 0
    for _ in range(120):
        data = bytearray(sound)
        data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
        (copy / name).write_bytes(data)
        found = readable(start)
        assert found in (None, expected)
        noticed += found is None
    assert noticed > 60


def test_damage_is_told_apart_from_another_kind_of_file(copy: Path) -> None:
    path = copy / "last.pth.tar"
    data = path.read_bytes()
    at = data.index(torch.load(path, weights_only=True)["model"]["head.weight"].numpy().tobytes())
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    assert_refused(run("eval", copy, "--data", copy), "last.pth.tar is damaged: its content", 4)


def test_a_configuration_that_the_user_changed(copy: Path) -> None:
    path = copy / "export" / "config.json"
    config = json.loads(path.read_text())
    config["label_names"] = ["x", "y", "z"]
    path.write_text(json.dumps(config))
    refused = run("eval", copy / "export", "--data", classes(copy))
    assert_refused(refused, "if you changed config.json yourself, delete 'fdsl_digest' from it", 4)
    del config["fdsl_digest"]
    path.write_text(json.dumps(config))
    assert read_pretrained(copy / "export").class_names == ("x", "y", "z")
