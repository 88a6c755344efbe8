"""One run of the experiment each, for a process of its own."""

from pathlib import Path
from typing import Any

import numpy as np

from fdsl_train import evaluate, finetune, pretrain
from fdsl_train.config import load_config
from fdsl_train.models.architecture import Architecture
from fdsl_train.tasks.segmentation import Overlap

LABELED = 24  # scenes of a draw
POOL = 160  # scenes that draws choose from
SEED = 2  # of the scenes and of the draws
STEPS = 100  # half of what the recipe has
FROM = {"scratch": None, "segrcdb": "formulas", "shuffled masks (control)": "shuffled"}
SCRATCH = next(iter(FROM))
Measures = dict[str, float]  # percent, by name


def pretrained(work: Path, name: str) -> float:
    """Pre-train on a folder of ``work``; the loss at the end."""
    run = pretrain(work / name, _start(work, name), recipe="cpu-segment", resume=True, workers=0)
    return float(run.metrics["loss"][-1])


def _start(work: Path, name: str) -> Path:
    return work / f"pre-{name}"


def write_draw(pool: Path, folder: Path, draw: int) -> Path:
    """The scenes of a draw, as links to those of the pool."""
    chosen = np.random.default_rng([SEED, draw]).permutation(POOL)[:LABELED]
    for kind in ("images", "annotations"):
        for part in ("training", "validation"):
            (folder / kind / part).mkdir(parents=True, exist_ok=True)
            for path in (pool / kind / part).iterdir():
                if part == "validation" or int(path.stem) in chosen:
                    link = folder / kind / part / path.name
                    if not link.exists():
                        link.symlink_to(path.resolve())
    (folder / "classes.txt").write_bytes((pool / "classes.txt").read_bytes())
    return folder


def measured(work: Path, arm: str, draw: int) -> Measures:
    """Fine-tune an arm on a draw, and measure it after the last step."""
    name, data = FROM[arm], work / f"draw-{draw}"
    if name is None:
        like = load_config("cpu-segment", "pretrain", {}).to_dict()
        start: dict[str, Any] = {"checkpoint": None} | vars(Architecture.of(like))
    else:
        start = {"checkpoint": _start(work, name) / "export", "keep_decoder": True}
    output = work / f"{name or SCRATCH}-{draw}"
    finetune(
        data,
        output,
        recipe="cpu-segment-finetune",
        steps=STEPS,
        seed=draw,
        resume=True,
        workers=0,
        **start,
    )
    score = evaluate(output, data, workers=0)
    assert isinstance(score, Overlap)
    return score.percent(score.counts()) | {"object_iou": _object_iou(score)}


def _object_iou(score: Overlap) -> float:
    """IoU of all that is not ground, whatever class it was taken for, percent."""
    objects = int(score.confusion[1:, 1:].sum())
    return 100.0 * objects / (int(score.confusion.sum()) - int(score.confusion[0, 0]))
