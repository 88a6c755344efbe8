"""The runs of the experiment, its table and its picture: STAMPS WORK, see ``scenes``."""

import json
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean

from experiments.segmentation.runs import (
    FROM,
    POOL,
    SCRATCH,
    SEED,
    Measures,
    measured,
    pretrained,
    write_draw,
)
from experiments.segmentation.scenes import write_scenes
from experiments.segmentation.shuffle import shuffle_masks
from fdsl_gen import generate, load_recipe

DRAWS = 3
FORMULAS = {
    "num_images": 4096,
    "num_categories": 6,
    "image_size": 64,
    "num_objects": 3,
    "radius_min": 60,
    "radius_max": 170,
    "mask": "M3",
}


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
        write_scenes(stamps, work / "pool", train=POOL, val=100, seed=SEED)
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
