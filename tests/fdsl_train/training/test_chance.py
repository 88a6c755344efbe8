"""No run ends at chance unseen: loss and accuracy stand beside those of knowing nothing."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import fdsl_train
from fdsl_train.tasks.base import Guess
from fdsl_train.tasks.classification import Accuracy
from fdsl_train.tasks.multilabel import Recall
from fdsl_train.training.chance import Standing, tell
from tests.fdsl_train.conftest import FINETUNE, TINY, build_dataset, run, write_recipe

SIZES = ["--img-size=32", "--patch-size=8", "--embed-dim=32", "--depth=1", "--num-heads=2"]


def test_a_guess_is_the_most_frequent_class() -> None:
    score = Accuracy()
    score.update(torch.eye(3)[[1, 1]], torch.tensor([0, 0]))
    score.update(torch.eye(3)[[1, 1]], torch.tensor([0, 2]))
    guess = score.guess(score.counts())
    assert guess == Guess(percent=75.0, images=4, always=1)
    score.update(torch.eye(3)[[2]], torch.tensor([2]))
    assert score.guess(score.counts()).always is None


def test_counts_of_processes_add_up() -> None:
    logits, labels = torch.eye(4)[[0, 1, 1, 3]], torch.tensor([0, 1, 2, 3])
    whole, parts = Accuracy(), [Accuracy(), Accuracy()]
    whole.update(logits, labels)
    for i, part in enumerate(parts):
        part.update(logits[i::2], labels[i::2])
    sums = [a + b for a, b in zip(*(part.counts() for part in parts), strict=True)]
    assert sums == whole.counts()
    assert whole.guess(sums) == Guess(percent=25.0, images=4)


def test_a_guess_of_several_labels() -> None:
    score = Recall()
    labels = torch.tensor([[1.0, 1, 0], [1, 0, 1], [1, 1, 0]])
    score.update(torch.zeros(3, 3), labels)
    guess = score.guess(score.counts())
    assert guess.percent == pytest.approx(100 * 5 / 6)  # classes 0 and 1, always
    assert score.percent(score.counts()).keys() == {"val_recall"}


@pytest.mark.parametrize(
    ("standing", "learned"),
    [
        (Standing(loss=5.29, blind_loss=5.30), False),
        (Standing(loss=4.00, blind_loss=5.30), True),
        (Standing(loss=None, blind_loss=5.30), True),  # nothing is known against it
        (Standing(1.0, 2.3, reached=16.7, guess=Guess(16.67, 60)), False),  # learned by heart
        (Standing(2.29, 2.3, reached=40.0, guess=Guess(16.67, 60)), True),
        (Standing(1.0, 2.3, reached=20.0, guess=Guess(16.67, 60)), False),  # by luck
        (Standing(1.0, 2.3, reached=20.0, guess=Guess(16.67, 6000)), True),
    ],
)
def test_when_a_run_has_learned(standing: Standing, learned: bool) -> None:
    assert standing.learned is learned


def test_what_was_learned_by_heart_is_told_apart(caplog: pytest.LogCaptureFixture) -> None:
    tell(Standing(1.0, 1.79, reached=36.0, guess=Guess(26.0, 50)), "finetune", None)
    (said,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert said.startswith(
        "THIS RUN KNOWS ITS TRAINING IMAGES ALONE: 36.00 % of 50 others is no better than a guess,"
        " 26.00 %; try more images"
    )


def test_advice_for_masks_names_recipes_for_masks(caplog: pytest.LogCaptureFixture) -> None:
    found = Standing(1.6, 1.6, reached=14.8, guess=Guess(14.8, 100, always=0))
    tell(found, "finetune", ("ground", "animals"), dense=True)
    (said,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert "and every pixel is called ground" in said
    assert said.endswith("on a CPU --recipe cpu-segment-finetune")


def test_pre_training_that_learns_nothing_says_so(dataset: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", steps=3, warmup_steps=0, lr=1e-6, min_lr=0)
    words = ["pretrain", "--recipe", recipe, "--data", dataset, "--output", tmp_path / "out"]
    done = run(*words)
    assert done.exit_code == 0
    assert f"knowing nothing: {math.log(8):.2f}" in done.output
    (said,) = done.stderr.splitlines()
    assert said.startswith("THIS RUN LEARNED NOTHING: its loss is that of knowing nothing; try")
    assert "--recipe cpu-pretrain" in said
    again = run(*words, "--resume", "auto")
    assert "LEARNED NOTHING" in again.stderr, "a finished run says it again"


def test_one_that_learns_does_not(tmp_path: Path) -> None:
    data = build_dataset(tmp_path / "data", num_classes=4)
    plain = {"mixup": 0, "cutmix": 0, "aa": None, "reprob": 0, "smoothing": 0, "drop_path": 0}
    recipe = write_recipe(tmp_path / "r.yaml", steps=60, lr=3e-3, scale=[0.8, 1.0], **plain)
    result = fdsl_train.pretrain(data, tmp_path / "out", recipe=str(recipe))
    assert result.learned
    assert result.standing is not None and result.standing.loss is not None
    assert result.standing.loss < result.standing.blind_loss == pytest.approx(math.log(4))


def test_fine_tuning_that_calls_every_image_the_same_says_so(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for split, count in (("train", 24), ("val", 10)):
        for name in ("bolt", "nut"):
            folder = tmp_path / "parts" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                gray = rng.integers(0, 255, (32, 32)).astype(np.uint8)
                Image.fromarray(gray).save(folder / f"{i}.png")
    recipe = write_recipe(
        tmp_path / "r.yaml", **FINETUNE | {"epochs": 1, "warmup_epochs": 0, "lr": 1e-7, "min_lr": 0}
    )
    done = run(
        "finetune", "--recipe", recipe, "--from-scratch", "--model", TINY["model"], *SIZES,
        "--data", tmp_path / "parts", "--output", tmp_path / "out",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "(a guess: 50.00 %)" in done.output
    assert "LEARNED NOTHING" in done.stderr
    assert "is no better than a guess, 50.00 %" in done.stderr
    assert "--recipe cpu-finetune" in done.stderr
