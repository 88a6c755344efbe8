"""Loss, learning rate and accuracy over the steps of runs, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fdsl_train.analysis.figures.save import new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Values = NDArray[np.float64]

_FEW = 60  # so many points are drawn as they are, more are smoothed ...
_SHARE = 20  # ... by a running mean over a 20th of the run
_FALL = 4.0  # a loss that falls by this factor is drawn on a logarithmic scale
# Okabe and Ito's, which people with any kind of color vision can tell apart.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#000000")
_DOTS = 30  # so many validations get a dot each


@dataclass(frozen=True, kw_only=True)
class Curves:
    """The logs of a run.

    Attributes:
        name: of the run.
        kind: pre-training or fine-tuning; empty where its settings are not there.
        steps: of the lines of its log, (n,).
        loss, lr: at these steps, (n,).
        top1: training accuracy at these steps, percent, (n,); None where the task has none.
        measured: steps of validations, (m,).
        accuracy: at those steps, percent, (m,).
    """

    name: str
    kind: str
    steps: Values
    loss: Values
    lr: Values
    top1: Values | None
    measured: Values
    accuracy: Values


def draw_curves(path: Path, runs: Sequence[Curves]) -> None:
    """Draw three panels for each kind of run, a color for each run.

    Pre-training and fine-tuning have losses and lengths of their own, and so axes of their own.

    Args:
        path: of the picture.
        runs: their logs.
    """
    kinds = list(dict.fromkeys(run.kind for run in runs))
    figure = new_figure(13, 4.2 * len(kinds) + 0.22 * len(runs))
    handles: list[Any] = []
    for kind, panels in zip(kinds, figure.subplots(len(kinds), 3, squeeze=False), strict=True):
        own = [
            (run, COLORS[number % len(COLORS)])
            for number, run in enumerate(runs)
            if run.kind == kind
        ]
        handles += _draw_panels(list(panels), own, f"{kind}: " if len(kinds) > 1 else "")
    figure.legend(handles=handles, loc="outside lower center", ncols=1, frameon=False)
    save(figure, path)


def _draw_panels(panels: "list[Axes]", runs: list[tuple[Curves, str]], kind: str) -> list[Any]:
    """Loss, learning rate and accuracy of runs with their colors; handles for the legend."""
    loss, rate, accuracy = panels
    handles: list[Any] = []
    for number, (run, color) in enumerate(runs):
        _draw_smoothed(loss, run.steps, run.loss, color, "-")
        width = min(1.5 + 1.5 * (len(runs) - 1 - number), 6.0)  # equal curves stay visible below
        handles += rate.plot(run.steps, run.lr, color=color, lw=width, label=_caption(run))
        if run.top1 is not None:
            _draw_smoothed(accuracy, run.steps, run.top1, color, ":")
        if len(run.accuracy):
            dot = "o" if len(run.accuracy) <= _DOTS else None
            accuracy.plot(run.measured, run.accuracy, color=color, marker=dot, markersize=3.5)
    loss.set(title=f"{kind}training loss")
    _scale_loss(loss, [smoothed(run.loss) for run, _ in runs])
    rate.set(title=f"{kind}learning rate")
    rate.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    rate.set_ylim(bottom=0)
    accuracy.set(title=f"{kind}accuracy, validation solid, training dotted", ylabel="%")
    accuracy.set_ylim(0, None)
    for axes in panels:
        axes.set(xlabel="step", xlim=(0, max(run.steps[-1] for run, _ in runs)))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.locator_params(axis="x", nbins=5)
        axes.grid(alpha=0.3)
    return handles


def smoothed(values: Values) -> Values:
    """The running mean over a 20th of the values, half of it on either side, float64 (n,).

    At the ends it is taken over what there is, and few values come back as they are.
    """
    half = len(values) // (2 * _SHARE) if len(values) > _FEW else 0
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    begin = np.maximum(places - half, 0)
    end = np.minimum(places + half + 1, len(values))
    means: Values = (sums[end] - sums[begin]) / (end - begin)
    return means


def _draw_smoothed(axes: "Axes", steps: Values, values: Values, color: str, style: str) -> None:
    """The running mean, and behind it, pale, what was logged."""
    if len(values) > _FEW:
        axes.plot(steps, values, color=color, alpha=0.2, linewidth=0.8)
    axes.plot(steps, smoothed(values), color=color, linestyle=style)


def _scale_loss(axes: "Axes", losses: list[Values]) -> None:
    """Logarithmic where the loss falls far, with plain numbers at the ticks."""
    lowest = min(float(values.min()) for values in losses)
    highest = max(float(values.max()) for values in losses)
    if lowest <= 0 or highest < _FALL * lowest:
        return
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())


def _caption(run: Curves) -> str:
    """The name, and how it ended."""
    if len(run.accuracy):
        return f"{run.name}: best {run.accuracy.max():.2f} %, last {run.accuracy[-1]:.2f} %"
    return f"{run.name}: loss {run.loss[-1]:.3g} after {run.steps[-1]:,.0f} steps"
