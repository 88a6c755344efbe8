"""One arm and seed: pre-train, fine-tune on every draw of every set, look at frozen features.

What comes out is one small file; while it is not there, runs go on from their checkpoints.
"""

import json
import logging
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.hypotheses.plan import SCRATCH, Arm, Plan, Scale
from experiments.hypotheses.real_sets import RealSet, parts_of
from fdsl_gen.core.errors import FdslError
from fdsl_gen.storage import local

NEIGHBORS, TEMPERATURE = 20, 0.07


@dataclass(frozen=True)
class Trial:
    """An arm with a seed; scratch if there is no arm.

    Attributes:
        arm: what to pre-train on.
        seed: of images, weights and order.
        plan: how much of everything.
        scale: how to train.
        rates: learning rate of fine-tuning, by set.
        work: folder of all files.
    """

    arm: Arm | None
    seed: int
    plan: Plan
    scale: Scale
    rates: dict[str, float]
    work: Path

    @property
    def name(self) -> str:
        """Of files, and for the log."""
        return f"{SCRATCH if self.arm is None else self.arm.name}-{self.seed}"

    @property
    def result(self) -> Path:
        """The file with what came out."""
        return self.work / "results" / f"{self.name}.json"

    @property
    def data(self) -> str:
        """The recipe to pre-train on, with the seed."""
        assert self.arm is not None
        text = self.arm.recipe(self.scale).format(work=self.work)
        return f"{text}{'&' if '?' in text else '?'}seed={self.seed}"

    def run(self, sets: tuple[RealSet, ...]) -> None:
        """Do it all and write the result; a set of images that cannot be drawn is a result."""
        logging.getLogger("fdsl_train").setLevel(logging.ERROR)
        began = time.perf_counter()
        runs = self.work / "runs" / self.name
        found: dict[str, Any] = {}
        try:
            found = self._measured(runs, sets)
        except FdslError as error:
            found = {"failed": str(error)}
        found["minutes"] = round((time.perf_counter() - began) / 60, 2)
        local.write(self.result, json.dumps(found, indent=1).encode())
        shutil.rmtree(runs, ignore_errors=True)

    def _measured(self, runs: Path, sets: tuple[RealSet, ...]) -> dict[str, Any]:
        from fdsl_train import finetune, pretrain  # which import PyTorch
        from fdsl_train.trial.results import last_top1

        found: dict[str, Any] = {}
        start = None
        if self.arm is not None:
            run = pretrain(
                self.data,
                runs / "pretrained",
                recipe=self.scale.pretrain,
                seed=self.seed,
                resume=True,
                **self.scale.pretraining,
            )
            standing = run.standing
            assert standing is not None and standing.loss is not None  # a run of one process
            found["loss"], found["chance"] = round(standing.loss, 3), round(standing.blind_loss, 3)
            start = run.export
            found["frozen"] = {one.name: self._frozen(start, one) for one in sets}
        found["top1"] = {}
        for one in sets:
            top1 = []
            for draw in range(self.plan.draws):
                output = runs / f"{one.name}-{draw}"
                if not (output / "summary.csv").exists():
                    finetune(
                        self.work / "draws" / f"{one.name}-{draw}",
                        output,
                        checkpoint=start,
                        resume=True,
                        **self.finetuning(self.rates[one.name], draw),
                    )
                top1.append(round(last_top1(output), 2))
            found["top1"][one.name] = top1
        return found

    def finetuning(self, rate: float, draw: int) -> dict[str, Any]:
        """The settings of a fine-tuning."""
        seed = 100 * self.seed + draw
        return {"recipe": self.scale.finetune, "lr": rate, "seed": seed} | self.scale.finetuning

    def _frozen(self, export: Path, real: RealSet) -> dict[str, float]:
        """Top-1 of nearest neighbors and of a linear probe on what the encoder says, percent."""
        import torch
        from sklearn.linear_model import LogisticRegression

        from fdsl_train import load_model
        from fdsl_train.analysis.knn import weighted_votes

        model = load_model(export, num_classes=0)
        parts = parts_of(real.labels, 0, self.plan)
        bank = _features(model, real.images[parts.bank], self.scale.img_size)
        queries = _features(model, real.images[parts.measured], self.scale.img_size)
        labels, truth = real.labels[parts.bank], real.labels[parts.measured]
        votes = weighted_votes(
            torch.nn.functional.normalize(torch.from_numpy(queries)),
            torch.nn.functional.normalize(torch.from_numpy(bank)),
            torch.from_numpy(labels),
            num_classes=int(labels.max()) + 1,
            k=NEIGHBORS,
            temperature=TEMPERATURE,
        )
        center, spread = bank.mean(0), bank.std(0) + 1e-6
        probe = LogisticRegression(C=0.1, max_iter=300)
        probe.fit((bank - center) / spread, labels)
        said = probe.predict((queries - center) / spread)
        return {
            "knn": round(100 * float((votes.argmax(1).numpy() == truth).mean()), 2),
            "probe": round(100 * float((said == truth).mean()), 2),
        }


def _features(model: Any, images: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """What an encoder says of images, float32 (n, D)."""
    import torch
    from torch.nn.functional import interpolate

    mean, std = (
        torch.tensor(model.pretrained_cfg[name])[:, None, None] for name in ("mean", "std")
    )
    found = []
    with torch.inference_mode():
        for begin in range(0, len(images), 256):
            batch = torch.from_numpy(images[begin : begin + 256])[:, None].float() / 255
            if side != batch.shape[-1]:
                batch = interpolate(batch, (side, side), mode="bilinear")
            found.append(model((batch.expand(-1, 3, -1, -1) - mean) / std).numpy())
    return np.concatenate(found)
