"""Outputs of a head mean the classes they were trained on, whatever order counts them."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_dataset, create_transform
from torch import Tensor, nn

from fdsl_gen.core.errors import UsageError
from fdsl_train.data.sources.image_folder import FolderSource
from fdsl_train.models.class_labels import model_labels
from fdsl_train.models.pretrained import PretrainedWeights, read_pretrained
from tests.fdsl_train.conftest import FINETUNE, run, write_recipe
from tests.fdsl_train.models.small_models import written

NAME = "vit_tiny_patch16_224"
SIZES = {"img_size": 32, "patch_size": 16, "embed_dim": 48, "depth": 1, "num_heads": 2}
FLAGS = ["--model", NAME, "--workers", "0"]
TEXT = sorted(map(str, range(12)))
NATURAL = list(map(str, range(12)))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Classes 0 to 11, each a pattern under noise: 12 images to train on, 4 to validate on."""
    folder = tmp_path_factory.mktemp("numbers")
    for label in range(12):
        pattern = np.random.default_rng(label).integers(0, 200, (32, 32, 3))
        for i in range(16):
            noise = np.random.default_rng([label, i]).integers(0, 50, (32, 32, 3))
            path = folder / ("train" if i < 12 else "val") / str(label) / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((pattern + noise).astype(np.uint8)).save(path)
    return folder


def images_of(data: Path, split: str) -> tuple[Tensor, Tensor]:
    """Images and labels as timm reads a folder, classes in its order."""
    transform = create_transform(
        32, interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3, crop_pct=1.0
    )
    files, labels = zip(
        *create_dataset("", root=str(data), split=split).reader.samples, strict=True
    )
    images = []
    for file in files:  # timm leaves closing them to chance
        with Image.open(file) as image:
            images.append(transform(image.convert("RGB")))
    return torch.stack(images), torch.tensor(labels)


@pytest.fixture(scope="module")
def trained(data: Path) -> nn.Module:
    """A model of timm's whose head was fitted, with timm's labels."""
    torch.manual_seed(0)
    model = timm.create_model(NAME, num_classes=12, **SIZES).eval()
    images, labels = images_of(data, "train")
    with torch.no_grad():
        features = model.forward_head(model.forward_features(images), pre_logits=True)
        one_hot = nn.functional.one_hot(labels, 12).double() - 1 / 12
        square = features.T.double() @ features.double() + 1e-3 * torch.eye(48)
        model.head.weight.copy_(torch.linalg.solve(square, features.T.double() @ one_hot).T)
    return model


@pytest.fixture(scope="module")
def score(data: Path, trained: nn.Module) -> float:
    """What timm measures, percent."""
    images, labels = images_of(data, "validation")
    with torch.no_grad():
        hits = trained(images).argmax(dim=1) == labels
    top1 = 100 * float(hits.float().mean())
    assert top1 > 80  # chance: 8
    return top1


def saved(path: Path, model: nn.Module, **more: Any) -> Path:
    """As timm's training script saves it."""
    return written(path, {"arch": NAME, "state_dict": model.state_dict()} | more)


def flags(**sizes: int) -> list[str]:
    return [part for k, v in sizes.items() for part in (f"--{k.replace('_', '-')}", str(v))]


@pytest.fixture
def exported(tmp_path: Path, trained: nn.Module) -> Path:
    """The folder that timm exports, which says the sizes of the model."""
    timm.models.save_for_hf(
        trained, str(tmp_path / "export"), safe_serialization=True,
        data_config={"mean": (0.5,) * 3, "std": (0.5,) * 3, "crop_pct": 1.0},
    )  # fmt: skip
    return tmp_path / "export"


def rename(folder: Path, names: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"label_names": names}))
    return folder


def test_nobody_guesses_what_a_nameless_head_means(exported: Path, data: Path) -> None:
    refused = run("eval", exported, "--data", data, *FLAGS)
    assert refused.exit_code == 2, (refused.output, refused.exception)
    assert len(refused.stderr.strip().splitlines()) == 1
    assert "number 2 is 2 in natural order (timm), 10 in the order of text" in refused.stderr
    assert "give --class-order natural or --class-order text" in refused.stderr


def test_the_order_that_the_user_says(
    exported: Path, data: Path, score: float, tmp_path: Path
) -> None:
    report = tmp_path / "r.csv"
    command = ["eval", exported, "--data", data, *FLAGS, "--report", report, "--class-order"]
    result = run(*command, "natural")
    assert f"top-1 {score:.2f} %" in result.output, (result.output, result.exception)
    with report.open(newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == [*NATURAL, ""]
    result = run(*command, "text")
    assert result.exit_code == 0
    found = float(result.output.split("top-1 ")[1].split(" %")[0])
    # Classes 0 and 1 have the same number in both orders, the others do not.
    assert found == pytest.approx(100 / 6, abs=9)
    with report.open(newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == [*TEXT, ""]


@pytest.mark.parametrize("order", [None, "natural", "text"])
@pytest.mark.parametrize(
    "names",
    [NATURAL, {str(i): name for i, name in enumerate(NATURAL)}],
    ids=["list", "dictionary"],
)
def test_names_in_the_file_decide(
    exported: Path, data: Path, score: float, names: Any, order: str | None
) -> None:
    more = [] if order is None else ["--class-order", order]
    result = run("eval", rename(exported, names), "--data", data, *FLAGS, *more)
    assert f"top-1 {score:.2f} %" in result.output, (result.output, result.exception)


def test_another_input_size_is_said(exported: Path, data: Path) -> None:
    command = ["eval", rename(exported, NATURAL), "--data", data, *FLAGS]
    said = "positions are interpolated from 32 px to 48 px"
    assert said in run(*command, "--img-size", "48").output
    assert "interpolated" not in run(*command).output


@pytest.mark.parametrize(
    "more",
    [
        {"class_names": NATURAL},
        {"classes": tuple(NATURAL)},
        {"class_to_idx": {name: i for i, name in enumerate(NATURAL)}},
        {"idx_to_class": dict(enumerate(NATURAL))},
        {"meta": {"CLASSES": NATURAL}},
    ],
    ids=lambda more: next(iter(more)),
)
def test_the_names_of_checkpoints(tmp_path: Path, trained: nn.Module, more: Any) -> None:
    path = saved(tmp_path / "x.pth", trained, **more)
    assert read_pretrained(path, {"model": NAME} | SIZES).class_names == tuple(NATURAL)


def test_what_names_nothing(tmp_path: Path, trained: nn.Module) -> None:
    for value in (12, [1, 2], {"a": 5}, {"a": "b"}, [], {"a": [1]}):
        path = saved(tmp_path / "x.pth", trained, classes=value)
        assert read_pretrained(path, {"model": NAME} | SIZES).class_names is None, value


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ([*NATURAL[:-1], "twelve"], "has the class 11, which"),
        ([*NATURAL[:-1], "3"], "has 2 classes named 3, so that the classes of"),
        (NATURAL[:-1], "names 11 classes, and its head has 12"),
    ],
)
def test_names_that_do_not_match(exported: Path, data: Path, names: Any, sentence: str) -> None:
    refused = run("eval", rename(exported, names), "--data", data, *FLAGS)
    assert refused.exit_code == 2, (refused.output, refused.exception)
    assert sentence in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("named", [True, False])
def test_a_head_that_is_kept_means_what_it_meant(
    exported: Path, data: Path, score: float, tmp_path: Path, named: bool
) -> None:
    recipe = write_recipe(
        tmp_path / "r.yaml", **FINETUNE | {"epochs": None, "steps": 2, "warmup_epochs": None,
        "mean": [0.5] * 3, "std": [0.5] * 3},
    )  # fmt: skip
    out = tmp_path / "out"
    command = ["finetune", "--recipe", recipe, "--checkpoint", exported, "--data", data]
    command += ["--output", out, "--lr", "1e-12", "--warmup-lr", "0", "--min-lr", "0"]
    if named:
        rename(exported, NATURAL)
        result = run(*command, "--keep-head")
    else:
        refused = run(*command, "--keep-head")
        assert refused.exit_code == 2 and "give --class-order natural or" in refused.stderr
        assert not out.exists()
        assert "--class-order: says what a trained" in run(*command, "--class-order", "text").stderr
        result = run(*command, "--keep-head", "--class-order", "natural")
    assert f"last: top-1 {score:.2f} %" in result.output, (result.output, result.exception)
    # Our own runs count as text, say so, and are matched by name from then on.
    assert json.loads((out / "export" / "config.json").read_text())["label_names"] == TEXT
    for path in (out, out / "export"):
        result = run("eval", path, "--data", data, "--workers", "0")
        assert f"top-1 {score:.2f} %" in result.output, (result.output, result.exception)
    other = run(*command, "--keep-head", "--class-order", "text", "--resume", "auto")
    assert (other.exit_code == 2) == (not named), other.output
    assert named or "was started from other weights" in other.stderr


def labels(names: list[str], order: Any = None, theirs: tuple[str, ...] | None = None) -> list[int]:
    source = FolderSource(Path(), "data", [], tuple(names))
    trained: Any = PretrainedWeights.__new__(PretrainedWeights)
    for field, value in (("name", "x"), ("class_names", theirs), ("num_classes", len(names))):
        object.__setattr__(trained, field, value)
    return model_labels(trained, source, order)


def test_orders_of_names() -> None:
    assert labels(["a", "b", "c"]) == [0, 1, 2]
    assert labels(["img1", "img10", "img2"], "natural") == [0, 2, 1]
    assert labels(["img1", "img10", "img2"], "text") == [0, 1, 2]
    assert labels(["Zebra", "ant"], "natural") == [1, 0]  # letters without regard to case
    assert labels(["01", "02", "10"]) == [0, 1, 2]
    assert labels(["x\u00b2", "y"], "natural") == [0, 1]  # a digit that timm cannot read
    for names in (["img1", "img10", "img2"], ["Zebra", "ant"]):
        with pytest.raises(UsageError, match="give --class-order natural or --class-order text"):
            labels(names)
    # The same names in the same order are the same, even where one stands twice (ImageNet's crane).
    assert labels(["crane", "crane"], theirs=("crane", "crane")) == [0, 1]
