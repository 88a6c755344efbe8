"""The runs of the experiment, its table and its picture: STAMPS WORK, see ``scenes``."""

import json
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from experiments.segmentation.scenes import write_scenes
from experiments.segmentation.shuffle import shuffle_masks
from fdsl_gen import generate, load_recipe
from fdsl_train import evaluate, finetune, pretrain
from fdsl_train.config import load_config
from fdsl_train.models.architecture import Architecture
from fdsl_train.tasks.segmentation import Overlap

DRAWS = 3
LABELED = 24  # scenes of a draw
POOL = 160  # scenes that draws choose from
FORMULAS = {
    "num_images": 4096,
    "num_categories": 6,
    "image_size": 64,
    "num_objects": 3,
    "radius_min": 60,
    "radius_max": 170,
    "mask": "M3",
}
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
    chosen = np.random.default_rng([1, draw]).permutation(POOL)[:LABELED]
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
        data, output, recipe="cpu-segment-finetune", seed=draw, resume=True, workers=0, **start
    )
    score = evaluate(output, data, workers=0)
    assert isinstance(score, Overlap)
    return score.percent(score.counts()) | {"object_iou": _object_iou(score)}


def _object_iou(score: Overlap) -> float:
    """IoU of all that is not ground, whatever class it was taken for, percent."""
    objects = int(score.confusion[1:, 1:].sum())
    return 100.0 * objects / (int(score.confusion.sum()) - int(score.confusion[0, 0]))


def compare(stamps: Path, work: Path) -> dict[str, list[Measures]]:
    """All runs, two at a time: measures by arm and draw.

    Args:
        stamps: see ``scenes``.
        work: folder of datasets and runs; what is finished there is kept.
    """
    if not (work / "shuffled" / "manifest.json").exists():
        generate(load_recipe("segrcdb", num_shards=4, **FORMULAS), work / "formulas", workers=1)
        shuffle_masks(work / "formulas", work / "shuffled")
    if not (work / "pool" / "classes.txt").exists():
        write_scenes(stamps, work / "pool", train=POOL, val=100, seed=1)
    for draw in range(DRAWS):
        write_draw(work / "pool", work / f"draw-{draw}", draw)
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        learned = [name for name in FROM.values() if name is not None]
        for name, loss in zip(learned, pool.map(pretrained, [work] * 2, learned), strict=True):
            print(f"pre-training on {name}: loss {loss:.2f}", flush=True)
        pairs = [(arm, draw) for draw in range(DRAWS) for arm in FROM]
        arms, draws = zip(*pairs, strict=True)
        found: dict[str, list[Measures]] = {arm: [] for arm in FROM}
        ended = pool.map(measured, [work] * len(pairs), arms, draws)
        for arm, one in zip(arms, ended, strict=True):
            found[arm].append(one)
            print(f"{arm}: {one}", flush=True)
    return found


def table(found: dict[str, list[Measures]]) -> str:
    """Markdown: a row per arm, with the gains over scratch."""
    lines = [
        "| arm | "
        + " | ".join(f"draw {draw}" for draw in range(DRAWS))
        + " | mean | gain | every draw | objects |",
        "|---" * (DRAWS + 5) + "|",
    ]
    for arm, rows in found.items():
        values = [row["val_miou"] for row in rows]
        cells = [f"{value:.1f}" for value in values] + [f"{fmean(values):.1f}"]
        gains = [v - own["val_miou"] for v, own in zip(values, found[SCRATCH], strict=True)]
        last = ["", ""]
        if arm != SCRATCH:
            last = [f"{fmean(gains):+.1f}", "yes" if min(gains) > 0 else "no"]
        objects = f"{fmean(row['object_iou'] for row in rows):.1f}"
        lines.append("| " + " | ".join([arm, *cells, *last, objects]) + " |")
    return "\n".join(lines)


def draw_gains(path: Path, found: dict[str, list[Measures]]) -> None:
    """Dots of all draws, joined where they have the same scenes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axes = figure.subplots()
    values = {arm: [row["val_miou"] for row in rows] for arm, rows in found.items()}
    for draw in range(DRAWS):
        axes.plot([own[draw] for own in values.values()], "o-", alpha=0.7, label=f"draw {draw}")
    axes.plot([fmean(own) for own in values.values()], "k_", markersize=40, label="mean")
    axes.set_xticks(range(len(FROM)), list(FROM))
    axes.set(ylabel="mean IoU, %", xlim=(-0.5, len(FROM) - 0.5))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Run what is not there yet, then write table and picture."""
    stamps, work = Path(sys.argv[1]), Path(sys.argv[2])
    found = compare(stamps, work)
    (work / "results.json").write_text(json.dumps(found, indent=1))
    (work / "table.md").write_text(table(found) + "\n")
    draw_gains(work / "segmentation.png", found)
    print(table(found))


if __name__ == "__main__":
    main()
