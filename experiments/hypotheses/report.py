"""docs/hypotheses.md and its pictures."""

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from experiments.hypotheses.plan import SCRATCH, Claim, Contrast, Plan, Verdict
from experiments.hypotheses.rules import judge, together

NOTES = Path(__file__).with_name("notes.md")
_COLORS = ("#0072b2", "#d55e00", "#009e73")  # told apart without color vision


@dataclass(frozen=True)
class Results:
    """What came out.

    Attributes:
        sets: names of the real sets.
        found: by arm, one for each seed, what ``measure.py`` wrote.
    """

    sets: tuple[str, ...]
    found: dict[str, list[dict[str, Any]]]

    def failed(self, arm: str) -> str | None:
        """Why an arm has no figures; None if it has."""
        return next((one["failed"] for one in self.found[arm] if "failed" in one), None)

    def top1(self, arm: str, name: str) -> list[float]:
        """Percent, of every seed and draw of a set."""
        return [value for one in self.found[arm] for value in one["top1"][name]]

    def frozen(self, arm: str, name: str, how: str) -> float:
        """Percent of frozen features, mean of the seeds."""
        return fmean(one["frozen"][name][how] for one in self.found[arm])

    def effects(self, contrast: Contrast) -> list[float]:
        """Points of these above those, of every set, seed and draw."""
        return [
            fmean(values[: len(contrast.these)]) - fmean(values[len(contrast.these) :])
            for name in self.sets
            for values in zip(
                *(self.top1(arm, name) for arm in (*contrast.these, *contrast.those)), strict=True
            )
        ]


def read_results(files: dict[str, list[Path]], sets: tuple[str, ...]) -> Results:
    """What is in the files of results, by arm."""
    return Results(
        sets,
        {arm: [json.loads(path.read_text()) for path in paths] for arm, paths in files.items()},
    )


def verdict_of(claim: Claim, results: Results) -> Verdict:
    """What the effects say of a claim; nothing, if one of its arms failed."""
    named = {arm for one in claim.contrasts for arm in (*one.these, *one.those)}
    if any(results.failed(arm) for arm in named):
        return "cannot tell"
    return together([judge(results.effects(one), one.kind) for one in claim.contrasts])


def markdown(plan: Plan, claims: Sequence[Claim], results: Results, facts: str) -> str:
    """The document.

    Args:
        plan: what was compared.
        claims: of it.
        results: what came out.
        facts: machine, date, versions and time, a paragraph.
    """
    parts = [
        "# Do the papers' claims hold?",
        _introduction(plan, results),
        textwrap.fill(facts, 100),
        _overview(claims, results),
    ]
    for claim in claims:
        parts += _section(claim, results)
    lost = {arm: why for arm in results.found if (why := results.failed(arm)) is not None}
    if lost:
        parts += ["## What failed", "\n".join(f"- {arm}: {why}" for arm, why in lost.items())]
    if NOTES.exists():
        parts.append(NOTES.read_text(encoding="utf-8").strip())
    return "\n\n".join(parts) + "\n"


_TEXT = """\
Written by `make hypotheses`. Every arm pre-trains a very small ViT (`{pretrain}`, {pretrain_steps}
steps) on images of formulas, with {seeds} seeds of images and weights, and fine-tunes all of it
(`{finetune}`, {finetune_steps} steps) on {labels} labeled images of each class of {sets}, in
{draws} draws. The arm scratch starts from freshly drawn weights; of the learning rates {rates} the
one that suits scratch best on images that are not reported is taken for all arms. Top-1 in percent
on {measured} images of each class.

An effect is a difference of top-1 of one set, seed and draw: {effects} to a comparison, and every
one counts. *Above* holds with a mean effect of more than a point and nine of ten effects above 0;
it does not hold with a mean of a point or less and two thirds or fewer above 0. *Not above* holds
with a mean of a point or less, and does not if *above* does; *not below* is its mirror image. All
else cannot be told. Rules and predictions stood in the repository before the runs.

These are models of half a million weights, images of 28 pixels and minutes of training. Where a
claim fails here, the paper may still be right at its own size; where it holds here, it is at least
not a matter of size."""


def _introduction(plan: Plan, results: Results) -> str:
    return _TEXT.format(
        pretrain=plan.cpu.pretrain,
        pretrain_steps=plan.cpu.pretrain_steps,
        finetune=plan.cpu.finetune,
        finetune_steps=plan.cpu.finetune_steps,
        seeds=plan.seeds,
        draws=plan.draws,
        labels=plan.labels,
        measured=plan.measured,
        sets=", ".join(results.sets),
        rates=", ".join(f"{rate:g}" for rate in plan.rates),
        effects=len(results.sets) * plan.seeds * plan.draws,
    )


def _overview(claims: Sequence[Claim], results: Results) -> str:
    head = ("claim", "predicted", "verdict", "mean effects, points (least .. greatest)")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for claim in claims:
        link, verdict = f"[{claim.name}](#{claim.name})", f"**{verdict_of(claim, results)}**"
        cells = [link, claim.predicted, verdict, _effects(claim, results)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _effects(claim: Claim, results: Results) -> str:
    texts = []
    for one in claim.contrasts:
        if any(results.failed(arm) for arm in (*one.these, *one.those)):
            texts.append("an arm failed")
            continue
        effects = results.effects(one)
        texts.append(f"{fmean(effects):+.1f} ({min(effects):+.1f} .. {max(effects):+.1f})")
    return "; ".join(texts)


def _section(claim: Claim, results: Results) -> list[str]:
    sentences = []
    for one in claim.contrasts:
        if any(results.failed(arm) for arm in (*one.these, *one.those)):
            continue
        effects = results.effects(one)
        above = sum(effect > 0 for effect in effects)
        sentences.append(
            f"- {' and '.join(one.these)} {one.kind} {' and '.join(one.those)}:"
            f" **{judge(effects, one.kind)}** (mean {fmean(effects):+.1f} points, {above} of"
            f" {len(effects)} above 0)"
        )
    return [
        f"## {claim.name}",
        textwrap.fill(f"**{claim.claim}** {claim.source}.", 100),
        textwrap.fill(f"Predicted: {claim.predicted}. {claim.prediction}", 100),
        f"![{claim.name}](hypotheses/{claim.name}.png)",
        f"Verdict: **{verdict_of(claim, results)}**.",
        "\n".join(sentences),
        _table(claim, results),
    ]


def _table(claim: Claim, results: Results) -> str:
    head = ["arm", "loss (chance)"]
    for name in results.sets:
        head += [name, f"{name}: knn, probe"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for arm in (SCRATCH, *claim.arms):
        if results.failed(arm):
            lines.append(f"| {arm} | failed |" + " |" * (len(head) - 2))
            continue
        cells = [arm, ""]
        if arm != SCRATCH:
            losses = [one["loss"] for one in results.found[arm]]
            cells[1] = f"{fmean(losses):.2f} ({results.found[arm][0]['chance']:.2f})"
        for name in results.sets:
            top1 = results.top1(arm, name)
            cells.append(f"{fmean(top1):.1f} ({min(top1):.1f} .. {max(top1):.1f})")
            frozen = (
                ""
                if arm == SCRATCH
                else "{:.1f}, {:.1f}".format(
                    *(results.frozen(arm, name, how) for how in ("knn", "probe"))
                )
            )
            cells.append(frozen)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def draw_claim(path: Path, claim: Claim, results: Results) -> None:
    """Means of the arms, a color for each set, with every draw as a dot and scratch as a line."""
    from matplotlib.figure import Figure

    arms = [arm for arm in claim.arms if results.failed(arm) is None]
    figure = Figure(figsize=(7, 3.4), layout="constrained")
    axes = figure.subplots()
    for number, (name, color) in enumerate(zip(results.sets, _COLORS, strict=False)):
        shift = 0.12 * (number - 1)
        places = [place + shift for place in range(len(arms))]
        means = [fmean(results.top1(arm, name)) for arm in arms]
        axes.plot(places, means, "o-", color=color, label=name)
        for place, arm in zip(places, arms, strict=True):
            top1 = results.top1(arm, name)
            axes.plot([place] * len(top1), top1, "_", color=color, alpha=0.5)
        base = fmean(results.top1(SCRATCH, name))
        axes.axhline(base, color=color, linestyle="--", linewidth=1)
    axes.set_xticks(range(len(arms)), arms, rotation=20, ha="right", fontsize=8)
    verdict = verdict_of(claim, results)
    axes.set(xlabel=claim.axis, ylabel="top-1, %", title=f"{claim.name}: {verdict}")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False, fontsize=8, title="dashed: from scratch", title_fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
