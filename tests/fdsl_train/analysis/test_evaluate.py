"""Measures of a trained model: whole, class by class, and by nearest neighbors."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from timm.data import create_transform
from torch import Tensor, nn

from fdsl_train.analysis.evaluate import Counts
from fdsl_train.analysis.figures.confusion import draw_confusion
from fdsl_train.analysis.figures.save import save
from fdsl_train.analysis.knn import weighted_votes
from fdsl_train.config import TrainConfig
from fdsl_train.models.adapt import build_from_pretrained
from fdsl_train.models.architecture import Architecture, create_model
from fdsl_train.models.export import export
from fdsl_train.models.pretrained import read_pretrained
from tests.fdsl_train.conftest import build_dataset, run

DIGITS = tuple(f"digit {label}" for label in range(10))
SIZES = {"patch_size": 8, "embed_dim": 32, "depth": 1, "num_heads": 2}


def exported(
    folder: Path, class_names: tuple[str, ...] | None, num_classes: int = 10, img_size: int = 32
) -> Path:
    """The export folder of a model that was never trained; its answers differ enough."""
    settings = {"model": "vit_tiny_patch16_224", "img_size": img_size} | SIZES
    model = create_model(Architecture.of(settings), num_classes=num_classes, drop_path=0.0, seed=0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("weight") and parameter.ndim > 1:
                parameter.mul_(8)
    config = TrainConfig(
        purpose="finetune", steps=1, global_batch_size=2, lr=1.0, crop_pct=1.0,
        mean=(0.3, 0.3, 0.3), std=(0.35, 0.35, 0.35), **settings,
    ).resolve(num_samples=2)  # fmt: skip
    return export(folder, model, config, class_names)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("model"), DIGITS)


def images_of(files: list[Path]) -> Tensor:
    """Images as the model takes them, without any of the loading that is under test."""
    transform = create_transform(
        input_size=32, interpolation="bicubic", mean=(0.3,) * 3, std=(0.35,) * 3, crop_pct=1.0
    )
    return torch.stack([transform(Image.open(file).convert("RGB")) for file in files])


def labels_of(files: list[Path]) -> Tensor:
    return torch.tensor([int(file.parent.name[-1]) for file in files])


def rows_of(report: Path) -> list[dict[str, str]]:
    with report.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures of confusions that are saved."""
    kept: list[Figure] = []

    def keep(figure: Figure, path: Path) -> None:
        kept.append(figure)
        save(figure, path)

    monkeypatch.setattr("fdsl_train.analysis.figures.confusion.save", keep)
    return kept


def what_is_drawn(figure: Figure) -> tuple[NDArray[np.float64], dict[tuple[int, int], str]]:
    """Shades by row and column, and the numbers that stand in their cells."""
    axes = figure.axes[0]
    (image,) = axes.images
    numbers = {}
    for text in axes.texts:
        column, row = text.get_position()
        numbers[int(row), int(column)] = text.get_text()
    return np.ma.filled(image.get_array(), np.nan), numbers


def test_confusion_counts_from_row_to_column() -> None:
    counts = Counts(3, confusion=True)
    said, truth = torch.tensor([2, 0, 2, 1]), torch.tensor([0, 0, 0, 1])
    counts.update(nn.functional.one_hot(said, 3).float(), truth)
    counts.update(nn.functional.one_hot(said[:1], 3).float(), truth[3:])
    assert counts.confusion is not None
    assert counts.confusion.tolist() == [[1, 0, 2], [0, 1, 1], [0, 0, 0]]
    assert (counts.images.tolist(), counts.top1.tolist()) == ([3, 2, 0], [1, 1, 0])


def test_confusion_is_drawn_as_it_is_counted(tmp_path: Path, figures: list[Figure]) -> None:
    confusion = np.array([[1, 0, 3], [0, 5, 0], [0, 0, 0]])
    draw_confusion(tmp_path / "x.png", confusion, ("ant", "bee", "cat"), "title")
    shades, numbers = what_is_drawn(figures[0])
    assert np.array_equal(
        shades, [[25, 0, 75], [0, 100, 0], [np.nan, np.nan, np.nan]], equal_nan=True
    )
    assert numbers == {(0, 0): "1", (0, 2): "3", (1, 1): "5"}
    axes = figures[0].axes[0]
    for ticks in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [tick.get_text() for tick in ticks] == ["ant", "bee", "cat"]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("class", "taken for")


def test_the_report_adds_up_to_what_the_model_says(
    model: Path, digits: Path, tmp_path: Path, figures: list[Figure]
) -> None:
    report, picture = tmp_path / "classes.csv", tmp_path / "confusion.png"
    result = run(
        "eval", model, "--data", digits, "--batch-size", 64, "--workers", 0,
        "--report", report, "--confusion", picture,
    )  # fmt: skip
    assert result.exit_code == 0, (result.output, result.exception)
    files = sorted((digits / "test").rglob("*.png"))
    labels = labels_of(files)
    with torch.no_grad():
        logits = build_from_pretrained(read_pretrained(model)).eval()(images_of(files))
    hits = logits.topk(5).indices == labels[:, None]
    *rows, total = rows_of(report)
    assert [row["name"] for row in rows] == list(DIGITS)
    for label, row in enumerate(rows):
        own = hits[labels == label]
        counts = (len(own), int(own[:, 0].sum()), int(own.any(dim=1).sum()))
        assert (int(row["images"]), int(row["correct_top1"]), int(row["correct_top5"])) == counts
        assert float(row["top1"]) == pytest.approx(100 * counts[1] / counts[0], abs=0.005)
    for column in ("images", "correct_top1", "correct_top5"):
        assert sum(int(row[column]) for row in rows) == int(total[column]), column
    top1 = 100 * float(hits[:, 0].float().mean())
    assert 2 < top1 < 60  # the model was not trained, but says different things
    assert float(total["top1"]) == pytest.approx(top1, abs=0.005)
    assert f"top-1 {top1:.2f} %" in result.output
    assert "of 200 images, test of" in result.output
    taken_for = np.zeros((10, 10), int)
    for label, best in zip(labels.tolist(), logits.argmax(dim=1).tolist(), strict=True):
        taken_for[label, best] += 1
    assert not np.array_equal(taken_for, taken_for.T)
    drawn, numbers = what_is_drawn(figures[0])
    assert np.allclose(drawn, 100 * taken_for / taken_for.sum(axis=1, keepdims=True))
    assert numbers == {
        (row, column): str(taken_for[row, column]) for row, column in np.argwhere(taken_for)
    }
    with Image.open(picture) as opened:
        assert min(opened.size) > 300


def test_batches_and_workers_change_nothing(model: Path, digits: Path) -> None:
    lines = set()
    for size, workers in ((200, 0), (7, 1)):
        result = run("eval", model, "--data", digits, "--batch-size", size, "--workers", workers)
        assert result.exit_code == 0, (result.output, result.exception)
        lines.add(result.output.splitlines()[-1])
    assert len(lines) == 1


def test_names_decide_where_both_have_them(model: Path, digits: Path, tmp_path: Path) -> None:
    """A set with some of the classes is measured against all outputs of the model."""
    some = tmp_path / "some"
    for label in (7, 3):
        shutil.copytree(digits / "test" / f"digit {label}", some / f"digit {label}")
    report = tmp_path / "r.csv"
    result = run("eval", model, "--data", some, "--workers", 0, "--report", report)
    assert result.exit_code == 0, (result.output, result.exception)
    assert [row["images"] for row in rows_of(report)] == [
        "0", "0", "0", "20", "0", "0", "0", "20", "0", "0", "40",
    ]  # fmt: skip
    (some / "digit 3").rename(some / "letter a")
    refused = run("eval", model, "--data", some, "--workers", 0)
    assert refused.exit_code == 2
    assert "has the class letter a, which" in refused.stderr


def test_a_dataset_of_ours_has_no_names(tmp_path: Path) -> None:
    folder = build_dataset(tmp_path / "data", validation=True)
    fits = exported(tmp_path / "fits", None, num_classes=8)
    result = run("eval", fits, "--data", folder, "--workers", 0)
    assert result.exit_code == 0, (result.output, result.exception)
    assert "of 16 images, validation of" in result.output
    result = run("eval", fits, "--data", folder, "--workers", 0, "--split", "train")
    assert "of 32 images, train of" in result.output
    other = exported(tmp_path / "other", None)
    refused = run("eval", other, "--data", folder, "--workers", 0)
    assert refused.exit_code == 2
    assert "has 10 classes" in refused.stderr


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--split", "val"), "has no folder val; it has train, test"),
        (("--confusion", "x.jpeg"), "x.jpeg must end in .png, .pdf or .svg"),
        (("--use-ema",), "holds one set of weights; leave --use-ema out"),
        (("--model", "resnet18"), "was trained with vit_tiny_patch16_224, not resnet18"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_cannot_be_measured(
    model: Path, digits: Path, flags: tuple[str, ...], sentence: str
) -> None:
    result = run("eval", model, "--data", digits, "--workers", 0, *flags)
    assert result.exit_code == 2, (result.output, result.exception)
    assert sentence in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def votes_by_hand(
    queries: Tensor, bank: Tensor, labels: Tensor, classes: int, k: int, temperature: float
) -> Tensor:
    """One query and one neighbor at a time; a vote of 1 is that of the image itself."""
    votes = torch.zeros(len(queries), classes, dtype=torch.float64)
    for q, cosines in enumerate((queries.double() @ bank.double().T).tolist()):
        for n in sorted(range(len(bank)), key=lambda n: -cosines[n])[:k]:
            votes[q, labels[n]] += np.exp((cosines[n] - 1) / temperature)
    return votes


@pytest.mark.parametrize("temperature", [0.07, 0.5])
@pytest.mark.parametrize("block", [1, 7, 30, 64])
def test_votes_are_exact_in_any_blocks(block: int, temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    queries, bank = (
        nn.functional.normalize(torch.randn(n, 6, generator=generator), dim=1) for n in (5, 30)
    )
    labels = torch.randint(4, (30,), generator=generator)
    for k in (1, 9, 30):
        votes = weighted_votes(
            queries, bank, labels, num_classes=4, k=k, temperature=temperature, block=block
        )
        expected = votes_by_hand(queries, bank, labels, 4, k, temperature)
        shares = votes / votes.sum(dim=1, keepdim=True)
        expected /= expected.sum(dim=1, keepdim=True)
        assert torch.allclose(shares.double(), expected, atol=1e-5)


def test_neighbors_in_the_features_of_a_model(model: Path, digits: Path) -> None:
    vit = build_from_pretrained(read_pretrained(model)).eval()
    features, labels = {}, {}
    for part in ("train", "test"):
        files = sorted((digits / part).rglob("*.png"), key=lambda file: (file.parent.name, file))
        with torch.no_grad():
            normed = vit.norm(vit.forward_intermediates(images_of(files), norm=False)[0])
        features[part], labels[part] = nn.functional.normalize(normed[:, 0]), labels_of(files)
    answers = set()
    for flags, k, temperature in (
        ((), 20, 0.07),
        (("--temperature", "0.002"), 20, 0.002),
        (("--k", "200", "--temperature", "50"), 200, 50.0),
    ):
        votes = votes_by_hand(
            features["test"], features["train"], labels["train"], 10, k, temperature
        )
        top1 = 100 * float((votes.argmax(dim=1) == labels["test"]).float().mean())
        assert top1 > 20  # chance: 10
        result = run("knn", model, "--data", digits, "--workers", 0, *flags)
        assert result.exit_code == 0, (result.output, result.exception)
        assert f"{k} nearest neighbors: top-1 {top1:.2f} %" in result.output
        assert "of 200 images, test" in result.output
        answers.add(top1)
    assert len(answers) == 3  # else the flags could as well be ignored


def test_more_neighbors_than_images(model: Path, digits: Path) -> None:
    result = run("knn", model, "--data", digits, "--workers", 0, "--k", 701)
    assert result.exit_code == 2
    assert "has 700 training images, fewer than 701" in result.stderr
