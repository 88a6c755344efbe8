"""Fine-tune on digits with and without PixMix: ``python -m experiments.pixmix``.

Everything is a command of ``fdsl-gen`` or ``fdsl-train``; what is finished in the folder is kept.
"""

import csv
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import numpy as np
from PIL import Image

SEEDS = (0, 1, 2)
ARMS = ("plain", "pixmix")
HERE = Path(__file__).parent
MODEL = (
    *("--model=vit_tiny_patch16_224", "--img-size=32", "--patch-size=8"),
    *("--embed-dim=96", "--depth=4", "--num-heads=3"),
)


def write_digits(folder: Path) -> None:
    """scikit-learn's digits, 8x8: every fifth to measure on (360), the others to train on."""
    from sklearn.datasets import load_digits

    data = load_digits()
    for number, (image, label) in enumerate(zip(data.images, data.target, strict=True)):
        part = folder / ("test" if number % 5 == 0 else "train") / str(label)
        part.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 15.9).astype(np.uint8)).save(part / f"{number:04d}.png")


def command(module: str, *arguments: object) -> None:
    """Run a command of the packages."""
    words = [sys.executable, "-m", f"{module}.cli", *map(str, arguments)]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def prepare(work: Path) -> None:
    """Digits, pictures for mixing, and a model that is pre-trained on fractals."""
    write_digits(work / "digits")
    command(
        "fdsl_gen", "fractal-color", f"--out={work / 'pictures'}", "--image-size=64",
        "--num-categories=100", "--num-instances=5", "--num-shards=1", "--workers=1",
    )  # fmt: skip
    command(
        "fdsl_gen", "fractal-1", f"--out={work / 'fractal-1'}", "--image-size=64",
        "--num-categories=100", "--num-shards=1", "--workers=1",
    )  # fmt: skip
    command(
        "fdsl_train", "pretrain", "--recipe=transfer-pretrain", f"--data={work / 'fractal-1'}",
        f"--output={work / 'pretrained'}", "--resume=auto", "--steps=400", *MODEL,
    )  # fmt: skip


def measure(work: Path, arm: str, seed: int) -> Path:
    """Fine-tune and measure one model; the table of its errors."""
    run = work / f"{arm}-{seed}"
    table = work / f"{arm}-{seed}.csv"
    if table.exists():
        return table
    mixing = (f"--pixmix={work / 'pictures'}",) if arm == "pixmix" else ()
    command(
        "fdsl_train", "finetune", f"--checkpoint={work / 'pretrained'}",
        f"--data={work / 'digits'}", f"--recipe={HERE / 'finetune.yaml'}", f"--output={run}",
        "--resume=auto", f"--seed={seed}", *mixing,
    )  # fmt: skip
    command(
        "fdsl_train", "eval", run, f"--data={work / 'digits'}", "--device=cpu", "--workers=0",
        "--corrupt=all:3", f"--corrupt-report={table}",
    )  # fmt: skip
    return table


def read(table: Path) -> dict[str, tuple[float, float]]:
    """Error and calibration error, percent, by corruption."""
    with table.open(newline="") as file:
        rows = csv.DictReader(file)
        return {r["corruption"]: (float(r["error"]), float(r["calibration_error"])) for r in rows}


def report(tables: dict[tuple[str, int], dict[str, tuple[float, float]]]) -> str:
    """A table for README.md: means over seeds, and how far they reach."""
    lines = ["| | " + " | ".join(ARMS) + " |", "|---|" + "---|" * len(ARMS)]
    for name in tables[ARMS[0], SEEDS[0]]:
        for place, kind in enumerate(("error", "calibration error")):
            if place == 1 and name not in ("none", "mean"):
                continue
            cells = []
            for arm in ARMS:
                values = [tables[arm, seed][name][place] for seed in SEEDS]
                low, high = min(values), max(values)
                cells.append(f"{statistics.mean(values):.1f} ({low:.1f} to {high:.1f})")
            lines.append(f"| {name}: {kind}, % | " + " | ".join(cells) + " |")
    return "\n".join(lines)


@click.command()
@click.option("--work", default=Path("runs/pixmix"), type=click.Path(path_type=Path))
@click.option("--jobs", default=2, show_default=True, help="processes of one thread")
def main(work: Path, jobs: int) -> None:
    """Run what is not done yet, and print the table."""
    prepare(work)
    pieces = [(arm, seed) for seed in SEEDS for arm in ARMS]
    with ThreadPoolExecutor(jobs) as pool:
        found = pool.map(lambda piece: read(measure(work, *piece)), pieces)
        tables = dict(zip(pieces, found, strict=True))
    click.echo(report(tables))


if __name__ == "__main__":
    main()
