"""After --val-split, eval measures what the run held out, and says which part that is."""

import json
import shutil
from pathlib import Path

import pytest

from fdsl_gen.core.errors import UsageError
from fdsl_train.data.holdout import HeldOut
from fdsl_train.models.pretrained import read_pretrained
from tests.fdsl_train.conftest import FINETUNE, TINY, run, write_recipe

SIZES = ["--img-size=32", "--patch-size=8", "--embed-dim=32", "--depth=1", "--num-heads=2"]


@pytest.fixture(scope="module")
def flat(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits in one folder per class, without a part to validate on."""
    folder = tmp_path_factory.mktemp("flat") / "digits"
    shutil.copytree(digits / "train", folder)
    return folder


@pytest.fixture(scope="module")
def tuned(flat: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tuned")
    recipe = write_recipe(folder / "r.yaml", **FINETUNE | {"epochs": 2, "seed": 3})
    done = run(
        "finetune", "--recipe", recipe, "--from-scratch", "--model", TINY["model"], *SIZES,
        "--data", flat, "--val-split", "0.25", "--output", folder / "out",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    return folder / "out"


def top1(text: str) -> str:
    (line,) = [line for line in text.splitlines() if line.startswith("top-1")]
    return line


@pytest.mark.parametrize("which", [".", "last.pth.tar", "export"])
def test_the_part_held_out_is_measured(tuned: Path, flat: Path, which: str) -> None:
    done = run("eval", tuned / which, "--data", flat, "--workers", 0)
    assert done.exit_code == 0, done.output
    images = len(list(flat.rglob("*.png")))
    last = (tuned / "summary.csv").read_text().splitlines()[-1].split(",")[5]
    line = top1(done.output)
    assert f"top-1 {float(last):.2f} %" in line
    assert "25 % held out by the run itself" in line
    assert 0.2 * images < int(line.split(" of ")[1].split()[0]) < 0.3 * images


def test_training_images_are_measured_on_request(tuned: Path, flat: Path) -> None:
    counted = {}
    for split, called in (("train", "the training images"), ("all", "all images")):
        done = run("eval", tuned, "--data", flat, "--workers", 0, "--split", split)
        assert called in top1(done.output)
        counted[split] = int(top1(done.output).split(" of ")[1].split()[0])
    assert counted["train"] < counted["all"] == len(list(flat.rglob("*.png")))


def test_other_images_are_all_measured_and_said_to_be_others(
    tuned: Path, flat: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(flat, other)
    next(other.rglob("*.png")).unlink()
    done = run("eval", tuned, "--data", other, "--workers", 0)
    assert "is not what this model was trained on, or was changed since" in done.stderr
    assert "all images" in top1(done.output)


def test_it_stands_in_checkpoint_and_export(tuned: Path) -> None:
    saved = json.loads((tuned / "export/config.json").read_text())["fdsl_held_out"]
    held_out = HeldOut.from_saved(saved, "x")
    assert held_out == read_pretrained(tuned / "last.pth.tar").held_out
    assert held_out is not None and (held_out.share, held_out.seed) == (0.25, 3)


@pytest.mark.parametrize(
    "saved", [3, {}, {"share": 2.0, "seed": 0, "data": ""}, {"share": 0.5, "seed": -1, "data": ""}]
)
def test_what_cannot_be_is_refused(saved: object) -> None:
    with pytest.raises(UsageError, match="file: what was held out from training"):
        HeldOut.from_saved(saved, "file")
