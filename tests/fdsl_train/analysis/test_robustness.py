"""Calibration, and errors on corrupted images."""

import csv
import sys
from pathlib import Path

import imagecorruptions
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from torchmetrics.classification import MulticlassCalibrationError

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.keys import Key
from fdsl_train.analysis.calibration import NUM_BINS, Calibration
from fdsl_train.analysis.evaluate import evaluate
from fdsl_train.analysis.figures.robustness import draw_robustness
from fdsl_train.analysis.figures.save import save
from fdsl_train.analysis.robustness import Errors, Robustness
from fdsl_train.models.adapt import build_from_pretrained
from fdsl_train.models.pretrained import read_pretrained
from fdsl_train.training.randomness import seed_cpu
from fdsl_train.transforms import corruption
from fdsl_train.transforms.corruption import Corruption, read_corruptions
from tests.fdsl_train.analysis.test_evaluate import DIGITS, exported, images_of, labels_of
from tests.fdsl_train.conftest import run

NAMES = imagecorruptions.get_corruption_names()
DRAWS = ["gaussian_noise", "shot_noise", "impulse_noise", "glass_blur", "motion_blur", "snow"]
DRAWS += ["frost", "fog", "elastic_transform"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("model"), DIGITS)


def rows_of(report: Path) -> dict[str, dict[str, str]]:
    with report.open(newline="") as file:
        return {row["corruption"]: row for row in csv.DictReader(file)}


@pytest.mark.parametrize("scale", [0.5, 3.0, 200.0])  # the last gives confidences of 1
def test_calibration_is_that_of_torchmetrics(scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = scale * torch.randn(500, 7, generator=generator)
    labels = torch.randint(7, (500,), generator=generator)
    metric = MulticlassCalibrationError(7, n_bins=NUM_BINS, norm="l1")
    ours = Calibration()
    for part in (slice(0, 64), slice(64, 65), slice(65, 500)):
        ours.update(logits[part], labels[part])
    expected = 100 * float(metric(logits, labels))
    assert expected > 5
    assert ours.percent() == pytest.approx(expected, abs=1e-3)


def picture(side: int = 40) -> NDArray[np.uint8]:
    """Smooth shades with an edge, different in every channel."""
    row = np.linspace(20, 200, side)
    shades = np.stack(
        [row[:, None] + row / 8, row[:, None] / 2 + row / 4, row * 1.0 + 0 * row[:, None]], 2
    )
    shades[: side // 2, : side // 2] *= 0.4
    return shades.astype(np.uint8)


@pytest.mark.slow  # a kernel of the library is compiled
def test_corruptions_are_drawn_from_keys() -> None:
    """Each changes the image; the same key gives the same, another one something else."""
    before = picture()
    for name in NAMES:
        images = []
        for key in (0, 0, 1):
            seed_cpu(Key(0, "augment", (0, key, 0)))
            images.append(Corruption(name, 3)(before))
        assert images[0].shape == before.shape and images[0].dtype == np.uint8
        assert not np.array_equal(images[0], before), name
        assert np.array_equal(images[0], images[1]), name
        assert np.array_equal(images[0], images[2]) == (name not in DRAWS), name


def test_errors_are_those_of_images_corrupted_by_hand(
    model: Path, digits: Path, tmp_path: Path
) -> None:
    """Resized, then corrupted, then normalized; contrast and pixelate draw nothing."""
    report = tmp_path / "c.csv"
    result = run(
        "eval", model, "--data", digits, "--workers", 0, "--batch-size", 64,
        "--corrupt", "pixelate:5,contrast:2-3", "--corrupt-report", report,
    )  # fmt: skip
    assert result.exit_code == 0, (result.output, result.exception)
    files = sorted((digits / "test").rglob("*.png"))
    labels = labels_of(files)
    vit = build_from_pretrained(read_pretrained(model)).eval()
    seen = images_of(files)  # (x / 255 - 0.3) / 0.35
    pixels = ((seen * 0.35 + 0.3) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()

    def error(name: str, severity: int) -> float:
        changed = [imagecorruptions.corrupt(image, severity, name) for image in pixels]
        inputs = torch.from_numpy(np.stack(changed)).permute(0, 3, 1, 2).float()
        with torch.no_grad():
            logits = vit((inputs / 255 - 0.3) / 0.35)
        return 100 * float((logits.argmax(dim=1) != labels).float().mean())

    rows = rows_of(report)
    assert list(rows) == ["none", "contrast", "pixelate", "mean"]
    contrast, pixelate = [error("contrast", 2), error("contrast", 3)], error("pixelate", 5)
    assert len({*contrast, pixelate}) == 3
    shown = [rows["contrast"][f"error_{severity}"] for severity in range(1, 6)]
    assert shown == ["", f"{contrast[0]:.2f}", f"{contrast[1]:.2f}", "", ""]
    assert float(rows["contrast"]["error"]) == pytest.approx(sum(contrast) / 2, abs=0.006)
    assert rows["pixelate"]["error_5"] == rows["pixelate"]["error"] == f"{pixelate:.2f}"
    mean = (sum(contrast) / 2 + pixelate) / 2
    assert float(rows["mean"]["error"]) == pytest.approx(mean, abs=0.006)
    assert f"mean corruption error {mean:.2f} %" in result.output
    with torch.no_grad():
        logits = vit(seen)
    clean = MulticlassCalibrationError(10, n_bins=NUM_BINS, norm="l1")(logits, labels)
    assert f"expected calibration error {100 * float(clean):.2f} %" in result.output


def test_workers_and_batches_change_no_draw(model: Path, digits: Path, tmp_path: Path) -> None:
    tables = set()
    for size, workers in ((200, 0), (70, 1)):
        report = tmp_path / f"{size}.csv"
        result = run(
            "eval", model, "--data", digits, "--workers", workers, "--batch-size", size,
            "--corrupt", "impulse_noise:2", "--corrupt-report", report,
        )  # fmt: skip
        assert result.exit_code == 0, (result.output, result.exception)
        tables.add(report.read_text())
    assert len(tables) == 1


def test_what_is_asked_for() -> None:
    assert read_corruptions("all") == [Corruption(n, s) for n in NAMES for s in range(1, 6)]
    assert read_corruptions("all:3") == [Corruption(name, 3) for name in NAMES]
    assert read_corruptions("snow:2, fog:4-5,snow:2-3") == [
        Corruption("snow", 2), Corruption("snow", 3), Corruption("fog", 4), Corruption("fog", 5),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--corrupt", "frog"), "no corruption 'frog'; did you mean 'fog'?; they are gaussian_n"),
        (("--corrupt", "fog:6"), "a severity is 1 to 5, as in fog:3 or fog:1-3"),
        (("--corrupt", "fog:3-2"), "a severity is 1 to 5"),
        (("--corrupt", "fog:"), "a severity is 1 to 5"),
        (("--corrupt-plot", "x.png"), "--corrupt-plot needs --corrupt, such as --corrupt all"),
        (("--corrupt-report", "x.csv"), "--corrupt-report needs --corrupt"),
        (("--corrupt", "fog", "--corrupt-plot", "x.jpeg"), "x.jpeg must end in .png"),
    ],
    ids=str,
)
def test_what_cannot_be_asked(
    model: Path, digits: Path, flags: tuple[str, ...], sentence: str
) -> None:
    result = run("eval", model, "--data", digits, "--workers", 0, *flags)
    assert result.exit_code == 2, (result.output, result.exception)
    assert sentence in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_images_that_are_too_small(digits: Path, tmp_path: Path) -> None:
    small = exported(tmp_path, DIGITS, img_size=24)
    result = run("eval", small, "--data", digits, "--workers", 0, "--corrupt", "fog")
    assert result.exit_code == 2
    assert "images of 24 pixels are too small, 32 is the least" in result.stderr


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    corruption._library.cache_clear()
    monkeypatch.setattr(corruption, "_PACKAGE", "no-such-package")
    with pytest.raises(UsageError, match=r'not installed: pip install "fdsl\[corrupt\]"'):
        read_corruptions("fog")
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(UsageError, match="OpenCV, which cannot be loaded"):
        read_corruptions("fog")


def test_a_script_gets_the_table(model: Path, digits: Path) -> None:
    counts = evaluate(model, digits, corrupt="brightness:1")
    assert counts.robustness is not None
    assert counts.robustness.names == ["brightness"]
    assert counts.robustness.clean == counts.errors()
    assert counts.robustness.mean() == counts.robustness.corrupted[Corruption("brightness", 1)]


def test_errors_are_drawn_over_severities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Figure] = []

    def keep(figure: Figure, path: Path) -> None:
        kept.append(figure)
        save(figure, path)

    monkeypatch.setattr("fdsl_train.analysis.figures.robustness.save", keep)
    errors = {
        Corruption("fog", 1): Errors(10.0, 1.0),
        Corruption("fog", 4): Errors(40.0, 2.0),
        Corruption("pixelate", 2): Errors(7.0, 3.0),
    }
    draw_robustness(tmp_path / "x.png", Robustness(Errors(5.0, 0.5), errors), "title")
    weather, digital = kept[0].axes
    assert [axes.get_title() for axes in kept[0].axes] == ["weather", "digital"]
    (fog,) = weather.get_lines()
    assert np.array_equal(fog.get_xydata(), [[0, 5], [1, 10], [4, 40]])
    (pixelate,) = digital.get_lines()
    assert np.array_equal(pixelate.get_xydata(), [[0, 5], [2, 7]])
    with Image.open(tmp_path / "x.png") as opened:
        assert min(opened.size) > 300
