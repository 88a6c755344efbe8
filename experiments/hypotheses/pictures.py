"""The pictures of docs/hypotheses.md."""

from pathlib import Path
from statistics import fmean
from typing import Any

from experiments.hypotheses.plan import SCRATCH, Claim
from experiments.hypotheses.results import Results, verdict_of

_LOOKS = (("#0072b2", "o"), ("#d55e00", "s"), ("#009e73", "^"))  # told apart without color vision


def draw_claim(path: Path, claim: Claim, results: Results) -> None:
    """Means of the arms, a look for each set, a dash for every draw, and scratch as a line."""
    from matplotlib.figure import Figure

    arms = [arm for arm in claim.arms if results.failed(arm) is None]
    figure = Figure(figsize=(7, 3.4), layout="constrained")
    axes = figure.subplots()
    for number, (name, (color, marker)) in enumerate(zip(results.sets, _LOOKS, strict=False)):
        shift = 0.12 * (number - 1)
        places = [place + shift for place in range(len(arms))]
        means = [fmean(results.top1(arm, name)) for arm in arms]
        axes.plot(places, means, marker=marker, color=color, label=name)
        for place, arm in zip(places, arms, strict=True):
            top1 = results.top1(arm, name)
            axes.plot([place] * len(top1), top1, "_", color=color, alpha=0.5)
        base = fmean(results.top1(SCRATCH, name))
        axes.axhline(base, color=color, linestyle="--", linewidth=1)
    axes.set_xticks(range(len(arms)), arms, rotation=20, ha="right", fontsize=8)
    verdict = verdict_of(claim, results)
    axes.set(xlabel=claim.axis, ylabel="top-1, %", title=f"{claim.name}: {verdict}")
    axes.grid(axis="y", alpha=0.3)
    axes.set_xlim(-0.5, max(len(arms), 1) - 0.5)
    figure.legend(
        frameon=False,
        fontsize=8,
        title="dashed: scratch",
        title_fontsize=8,
        loc="outside right center",
    )
    _save(figure, path)


def draw_gains(path: Path, results: Results) -> None:
    """Points above scratch of every arm, best on top: the mean of a set, and its extremes."""
    from matplotlib.figure import Figure

    arms = results.ranked()[::-1]
    figure = Figure(figsize=(8, 1.2 + 0.24 * len(arms)), layout="constrained")
    axes = figure.subplots()
    for number, (name, (color, marker)) in enumerate(zip(results.sets, _LOOKS, strict=False)):
        for place, arm in enumerate(arms):
            gains, at = results.gains(arm, name), place + 0.2 * (1 - number)
            axes.plot([min(gains), max(gains)], [at, at], color=color, linewidth=1, alpha=0.6)
            label = name if place == 0 else None
            axes.plot(fmean(gains), at, marker, color=color, markersize=5, label=label)
    axes.axvline(0, color="black", linewidth=1)
    axes.set_yticks(range(len(arms)), arms, fontsize=8)
    axes.set(xlabel="points of top-1 above scratch: mean, least and greatest of all draws")
    axes.set_title(
        "A small ViT after minutes on formulas, ten labeled images of a class", fontsize=10
    )
    axes.grid(axis="x", alpha=0.3)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
