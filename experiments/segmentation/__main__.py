"""The runs of the experiment, its table and its picture: STAMPS WORK, see ``scenes``."""

import json
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from experiments.segmentation.scenes import write_scenes
from experiments.segmentation.shuffle import shuffle_masks
from fdsl_gen import generate, load_recipe
from fdsl_train import finetune, pretrain
from fdsl_train.config import load_config
from fdsl_train.models.architecture import Architecture

DRAWS = 3
LABELED = 24  # scenes of a draw
POOL = 160  # scenes that draws choose from
FORMULAS = {
    "num_images": 512,
    "num_categories": 6,
    "image_size": 64,
    "num_objects": 3,
    "radius_min": 60,
    "radius_max": 170,
    "mask": "M3",
}
ARMS = ("scratch", "segrcdb", "shuffled masks (control)")
QUIET = {"workers": 0}


def pretrained(work: Path) -> dict[str, Path | None]:
    """The exports to start from, by arm; None for scratch."""
    if not (work / "formulas" / "manifest.json").exists():
        generate(load_recipe("segrcdb", num_shards=4, **FORMULAS), work / "formulas", workers=1)
        shuffle_masks(work / "formulas", work / "shuffled")
    exports: dict[str, Path | None] = {ARMS[0]: None}
    for arm, name in zip(ARMS[1:], ("formulas", "shuffled"), strict=True):
        run = pretrain(
            work / name, work / f"pre-{name}", recipe="cpu-segment", resume=True, **QUIET
        )
        exports[arm] = run.export
        print(f"{arm}: loss {run.metrics['loss'][-1]:.2f}", flush=True)
    return exports


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


def measured(work: Path, exports: dict[str, Path | None], stamps: Path) -> dict[str, list[float]]:
    """Mean IoU in percent after the last step, by arm and draw."""
    pool = work / "pool"
    if not (pool / "classes.txt").exists():
        write_scenes(stamps, pool, train=POOL, val=100, seed=1)
    same = Architecture.of(load_config("cpu-segment", "pretrain", {}).to_dict())
    found: dict[str, list[float]] = {arm: [] for arm in ARMS}
    for draw in range(DRAWS):
        data = write_draw(pool, work / f"draw-{draw}", draw)
        for arm in ARMS:
            start: dict[str, Any] = {"checkpoint": exports[arm]}
            if exports[arm] is None:
                start |= vars(same)
            run = finetune(
                data,
                work / f"{arm.split()[0]}-{draw}",
                recipe="cpu-segment-finetune",
                seed=draw,
                resume=True,
                **start,
                **QUIET,
            )
            found[arm].append(run.last["val_miou"])
            print(f"{arm}, draw {draw}: {run.last}", flush=True)
    return found


def table(found: dict[str, list[float]]) -> str:
    """Markdown: a row per arm, with the gains over scratch."""
    draws = range(DRAWS)
    lines = [
        "| arm | " + " | ".join(f"draw {draw}" for draw in draws) + " | mean | gain | every draw |",
        "|---" * (DRAWS + 4) + "|",
    ]
    for arm, values in found.items():
        cells = [f"{value:.1f}" for value in values] + [f"{fmean(values):.1f}"]
        gains = [value - own for value, own in zip(values, found[ARMS[0]], strict=True)]
        last = ["", ""]
        if arm != ARMS[0]:
            last = [f"{fmean(gains):+.1f}", "yes" if min(gains) > 0 else "no"]
        lines.append("| " + " | ".join([arm, *cells, *last]) + " |")
    return "\n".join(lines)


def draw_gains(path: Path, found: dict[str, list[float]]) -> None:
    """Dots of all draws, joined where they have the same scenes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axes = figure.subplots()
    for draw in range(DRAWS):
        axes.plot([found[arm][draw] for arm in ARMS], "o-", alpha=0.7, label=f"draw {draw}")
    axes.plot([fmean(found[arm]) for arm in ARMS], "k_", markersize=40, label="mean")
    axes.set_xticks(range(len(ARMS)), ARMS)
    axes.set(ylabel="mean IoU, %", xlim=(-0.5, len(ARMS) - 0.5))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Run what is not there yet, then write table and picture."""
    stamps, work = Path(sys.argv[1]), Path(sys.argv[2])
    found = measured(work, pretrained(work), stamps)
    (work / "results.json").write_text(json.dumps(found, indent=1))
    (work / "table.md").write_text(table(found) + "\n")
    draw_gains(work / "segmentation.png", found)
    print(table(found))


if __name__ == "__main__":
    main()
