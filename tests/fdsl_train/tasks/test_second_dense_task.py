"""A task of one's own for masks: a label type, a task, their rows, and it trains."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fdsl_gen.archive.label_types import LABEL_TYPES
from fdsl_gen.archive.label_types.segmentation import Segmentation as Mask
from fdsl_train import finetune, pretrain
from fdsl_train.config import Resolved
from fdsl_train.tasks import TASKS
from fdsl_train.tasks.base import Guess, Outcome
from fdsl_train.tasks.segmentation import Segmentation
from fdsl_train.transforms.batch import Batch
from tests.fdsl_train.conftest import FINETUNE, write_recipe
from tests.fdsl_train.training.segment import SEGMENT, write_masked


class Heights(Mask):
    """A mask whose levels are in order, such as depths."""

    name: ClassVar[str] = "heights"


class Error:
    """Mean distance of levels; to be measured as "higher is better", from 100 down."""

    def __init__(self) -> None:
        self._sum, self._pixels = 0.0, 0

    def update(self, found: Tensor, labels: Tensor) -> None:
        self._sum += float((found - labels).abs().sum())
        self._pixels += labels.numel()

    def counts(self) -> list[float]:
        return [self._sum, self._pixels]

    def percent(self, counts: list[float]) -> dict[str, float]:
        return {"val_closeness": 100.0 - counts[0] / counts[1]}

    def guess(self, counts: list[float]) -> Guess:
        return Guess(percent=0.0, images=1)


class Regression(Segmentation):
    """The expected level of a pixel, and its distance from the true one."""

    name: ClassVar[str] = "heights"

    def __init__(self, config: Resolved, num_classes: int) -> None:
        super().__init__(config, num_classes)
        self._levels = torch.arange(num_classes, dtype=torch.float32)

    def _expected(self, model: nn.Module, batch: Batch) -> Tensor:
        shares = model(batch.images).float().softmax(dim=1)
        return torch.einsum("bchw,c->bhw", shares, self._levels)

    def step(self, model: nn.Module, batch: Batch) -> Outcome:
        distance = (self._expected(model, batch) - batch.labels).abs()[batch.labels >= 0]
        return Outcome(distance.mean(), {"distance": distance.detach().mean()})

    def predict(self, model: nn.Module, batch: Batch) -> Iterator[tuple[Tensor, Tensor]]:
        yield self._expected(model, batch), batch.labels

    def score(self) -> Error:  # type: ignore[override]
        return Error()

    def blind_loss(self) -> float:
        return float(self._levels[-1])


@pytest.mark.slow
def test_it_needs_no_line_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LABEL_TYPES, "heights", Heights())
    monkeypatch.setitem(TASKS, "heights", Regression)
    data = write_masked(tmp_path / "data", validation_instances=4)
    manifest = json.loads((data / "manifest.json").read_text())
    manifest["task"] = "heights"
    (data / "manifest.json").write_text(json.dumps(manifest))
    recipe = write_recipe(tmp_path / "r.yaml", **(SEGMENT | {"steps": 4, "warmup_steps": 0}))
    run = pretrain(data, tmp_path / "pre", recipe=str(recipe), resize_ratio=(1.0, 1.0))
    assert np.isfinite(run.metrics["distance"]).all()
    assert 0 < 100 - run.last["val_closeness"] < 3  # of levels 0 to 3
    assert (run.export / "segmenter.safetensors").exists()
    tuned = FINETUNE | SEGMENT | {"epochs": 1, "warmup_epochs": 0, "img_size": 32}
    recipe = write_recipe(tmp_path / "t.yaml", **(tuned | {"global_batch_size": 4}))
    done = finetune(
        data, tmp_path / "out", recipe=str(recipe), checkpoint=run.export, keep_decoder=True
    )
    assert done.last["val_closeness"] > 97
