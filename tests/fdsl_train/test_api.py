"""The package used from a script: the public functions, what they return and what they log."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from timm.data import resolve_model_data_config

import fdsl_train
from fdsl_gen.core.errors import UsageError
from tests.fdsl_train.conftest import FINETUNE, write_recipe


@pytest.fixture(scope="module")
def finished(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three steps."""
    folder = tmp_path_factory.mktemp("run")
    recipe = write_recipe(folder / "tiny.yaml", steps=3, log_every=1)
    run = fdsl_train.pretrain(str(dataset), folder / "out", recipe=str(recipe))
    assert run.output == folder / "out"
    assert run.metrics["step"] == [1, 2, 3]
    assert run.last == {} and run.label == ""  # no validation split
    assert run.checkpoint.exists() and run.export.is_dir()
    return run.output


def test_every_public_name_is_there_and_explained() -> None:
    assert set(fdsl_train.__all__) <= set(dir(fdsl_train))
    for name in fdsl_train.__all__:
        assert getattr(fdsl_train, name).__doc__, name


def test_a_script_pre_trains_fine_tunes_and_measures(
    finished: Path, digits: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="fdsl_train")
    recipe = write_recipe(
        tmp_path / "short.yaml", **FINETUNE | {"epochs": None, "steps": 6, "warmup_epochs": None}
    )
    run = fdsl_train.finetune(
        digits, tmp_path / "tuned", checkpoint=finished, recipe=str(recipe), log_every=2
    )
    assert run.steps == 6
    assert run.metrics["step"] == [2, 4, 6]
    assert np.isfinite(run.metrics["loss"]).all()
    assert run.best["step"] <= 6 and run.label == "test"
    assert any("all 6 steps done" in line for line in caplog.messages)

    again = fdsl_train.finetune(
        digits,
        tmp_path / "tuned",
        checkpoint=finished,
        recipe=str(recipe),
        log_every=2,
        resume=True,
    )
    assert again == run

    counts = fdsl_train.evaluate(run.export, digits, batch_size=16)
    assert counts.percent() == pytest.approx((run.last["val_top1"], run.last["val_top5"]))
    nearest = fdsl_train.knn(str(run.export), digits, k=3)
    assert 0 <= nearest["val_top1"] <= nearest["val_top5"] <= 100


def test_a_model_is_loaded_as_timm_loads_it(finished: Path) -> None:
    model = fdsl_train.load_model(finished)
    twin = timm.create_model(f"local-dir:{finished / 'export'}", pretrained=True).eval()
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert not model.training
    assert torch.equal(model(images), twin(images))
    ours, theirs = resolve_model_data_config(model), resolve_model_data_config(twin)
    assert {k: tuple(np.atleast_1d(v)) for k, v in ours.items()} == {
        k: tuple(np.atleast_1d(v)) for k, v in theirs.items()
    }
    features = fdsl_train.load_model(finished, num_classes=0)(images)
    assert features.shape == (2, twin.num_features)
    assert fdsl_train.load_model(finished, num_classes=7)(images).shape == (2, 7)


def test_settings_are_checked_by_name(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"epoch.*did you mean 'epochs'"):
        fdsl_train.pretrain(dataset, tmp_path / "run", recipe="cpu_smoke", epoch=2)
