"""Accuracy after fine-tuning from scratch and from formulas, draw by draw."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fdsl_train.analysis.figures.save import new_figure, save

# Of Okabe and Ito's palette, which people with any kind of color vision can tell apart.
_BLUE, _ORANGE, _GRAY = "#0072B2", "#E69F00", "#7F7F7F"

Kind = Literal["formula", "scratch", "control"]


@dataclass(frozen=True)
class Bar:
    """What one way of starting reached.

    Attributes:
        name: of the bar.
        top1: percent, by draw.
        kind: decides its color.
    """

    name: str
    top1: list[float]
    kind: Kind

    @property
    def mean(self) -> float:
        """Over the draws."""
        return sum(self.top1) / len(self.top1)


def draw_gains(
    path: Path,
    panels: Sequence[tuple[str, Sequence[Bar]]],
    title: str,
    measure: str,
    guess: float | None = None,
) -> None:
    """Draw bars from zero to the mean, a dot for every draw, a line at the mean of scratch.

    Args:
        path: of the picture.
        panels: a name and bars each; the bars are sorted by their mean.
        title: above all.
        measure: below the axis.
        guess: percent that knowing nothing reaches.
    """
    bars = len(panels[0][1])
    figure = new_figure(8, (0.42 * bars + 0.8) * len(panels) + 1.4)
    figure.suptitle(title, fontsize=11)
    handles: dict[str, Any] = {}
    places = figure.subplots(len(panels), 1, squeeze=False, sharex=True).ravel()
    for axes, (name, unsorted) in zip(places, panels, strict=True):
        ordered = sorted(unsorted, key=lambda bar: bar.mean)
        colors = {"formula": _BLUE, "scratch": _GRAY, "control": _ORANGE}
        labels = {
            "formula": "pre-trained on formulas: mean",
            "scratch": "from scratch: mean",
            "control": "control, from which nothing can be learned: mean",
        }
        for place, bar in enumerate(ordered):
            handles[labels[bar.kind]] = axes.barh(
                place, bar.mean, color=colors[bar.kind], alpha=0.55, height=0.7
            )
            (handles["one draw of the training images"],) = axes.plot(
                bar.top1, [place] * len(bar.top1), "o", color="black", markersize=3.5, alpha=0.8
            )
            axes.text(0.5, place, f"{bar.mean:.1f} %", va="center", fontsize=8)
        scratch = next(bar for bar in ordered if bar.kind == "scratch")
        handles["mean of scratch"] = axes.axvline(
            scratch.mean, color="black", linestyle="--", linewidth=1
        )
        if guess is not None:
            handles["a guess"] = axes.axvline(guess, color="black", linestyle=":", linewidth=1)
        axes.set_yticks(range(len(ordered)), [bar.name for bar in ordered])
        axes.set_title(name, fontsize=10)
        axes.grid(axis="x", alpha=0.3)
    places[-1].set_xlim(0, 100)
    places[-1].set_xlabel(measure)
    figure.legend(
        handles=list(handles.values()),
        labels=list(handles),
        loc="outside lower center",
        ncols=2,
        fontsize=8,
        frameon=False,
    )
    save(figure, path)
