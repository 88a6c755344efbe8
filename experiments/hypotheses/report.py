"""docs/hypotheses.md."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from experiments.hypotheses.plan import SCRATCH, Claim, Plan, Scale
from experiments.hypotheses.results import Results, verdict_of
from experiments.hypotheses.rules import judge

NOTES = Path(__file__).with_name("notes.md")


def markdown(
    plan: Plan, scale: Scale, claims: Sequence[Claim], results: Results, facts: str
) -> str:
    """The document.

    Args:
        plan: what was compared.
        scale: how models were trained.
        claims: of it.
        results: what came out.
        facts: machine, date, versions and time, a paragraph.
    """
    parts = [
        "# Do the papers' claims hold?",
        _introduction(plan, scale, results),
        textwrap.fill(facts, 100),
        _overview(claims, results),
        *_gains(results),
    ]
    for claim in claims:
        parts += _section(claim, results)
    parts += ["## arms", _arms(plan, scale, results)]
    lost = {arm: why for arm in results.found if (why := results.failed(arm)) is not None}
    if lost:
        parts += ["## What failed", "\n".join(f"- {arm}: {why}" for arm, why in lost.items())]
    if not scale.full:
        parts.append(NOTES.read_text(encoding="utf-8").strip())
    return "\n\n".join(parts) + "\n"


_TEXT = """\
Written by `make hypotheses`. Every arm pre-trains a ViT (`{pretrain}`{pretrain_steps}) on images
of formulas, with {seeds} seeds of images and weights, and fine-tunes all of it
(`{finetune}`{finetune_steps}) on {labels} labeled images of each class of
{sets}, in {draws} draws. The arm scratch starts from freshly drawn weights; of the learning rates
{rates} the one that suits scratch best on images that are not reported is taken for all arms. Top-1
in percent on {measured} images of each class; knn and probe are of frozen features, learned from
{bank} images of each class.

An effect is a difference of top-1 of one set, seed and draw: {effects} to a comparison, and every
one counts. *Above* holds with a mean effect of more than a point and nine of ten effects above 0;
it does not hold with a mean of a point or less and two thirds or fewer above 0. *Not above* holds
with a mean of a point or less, and does not if *above* does; *not below* is its mirror image. All
else cannot be told. Rules and predictions stood in the repository before the runs."""


def _introduction(plan: Plan, scale: Scale, results: Results) -> str:
    text = _TEXT.format(
        pretrain=scale.pretrain,
        pretrain_steps=_steps(scale.pretrain_steps),
        finetune=scale.finetune,
        finetune_steps=_steps(scale.finetune_steps),
        seeds=plan.seeds,
        draws=plan.draws,
        labels=plan.labels,
        measured=plan.measured,
        bank=plan.bank,
        sets=", ".join(results.sets),
        rates=", ".join(f"{rate:g}" for rate in scale.rates),
        effects=len(results.sets) * plan.seeds * plan.draws,
    )
    return "\n\n".join(textwrap.fill(part, 100) for part in text.split("\n\n"))


def _steps(number: int | None) -> str:
    return "" if number is None else f", {number} steps"


def _rows(rows: Sequence[Sequence[str]]) -> str:
    """A table; the first row is its head."""
    first, *others = (f"| {' | '.join(cells)} |" for cells in rows)
    return "\n".join([first, "|---" * len(rows[0]) + "|", *others])


def _spread(values: Sequence[float], sign: str = "") -> str:
    """Mean, least and greatest."""
    mean, least, most = (
        f"{value:{sign}.1f}" for value in (fmean(values), min(values), max(values))
    )
    return f"{mean} ({least} .. {most})"


def _overview(claims: Sequence[Claim], results: Results) -> str:
    head = ("claim", "predicted", "verdict", "mean effects, points (least .. greatest)")
    rows: list[Sequence[str]] = [head]
    for claim in claims:
        link, verdict = f"[{claim.name}](#{claim.name})", f"**{verdict_of(claim, results)}**"
        cells = [link, claim.predicted, verdict, _effects(claim, results)]
        rows.append(cells)
    return _rows(rows)


def _effects(claim: Claim, results: Results) -> str:
    texts = []
    for one in claim.contrasts:
        if any(results.failed(arm) for arm in one.arms):
            texts.append("an arm failed")
            continue
        texts.append(_spread(results.effects(one), "+"))
    return "; ".join(texts)


def _gains(results: Results) -> list[str]:
    """Every arm against scratch, whatever it was made for."""
    ranked = results.ranked()
    if not ranked:
        return []
    head = ["arm", *(f"{name}: gain" for name in results.sets), "draws above scratch"]
    rows: list[Sequence[str]] = [head]
    for arm in ranked:
        gains = [results.gains(arm, name) for name in results.sets]
        above = sum(gain > 0 for own in gains for gain in own)
        cells = [_spread(own, "+") for own in gains]
        rows.append([arm, *cells, f"{above} of {sum(map(len, gains))}"])
    text = "Points of top-1 above scratch with the same labeled images, best arm first."
    return ["## gains", text, "![gains](hypotheses/gains.png)", _rows(rows)]


def _arms(plan: Plan, scale: Scale, results: Results) -> str:
    """What every arm was pre-trained on."""
    listed = [arm for arm in plan.arms if arm.name in results.found]
    return "\n".join(
        f"- {arm.name}: `{arm.recipe(scale).removeprefix('recipe:')}`" for arm in listed
    )


def _section(claim: Claim, results: Results) -> list[str]:
    sentences = []
    for one in claim.contrasts:
        if any(results.failed(arm) for arm in one.arms):
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
    rows: list[Sequence[str]] = [head]
    for arm in (SCRATCH, *claim.arms):
        if results.failed(arm):
            rows.append([arm, "failed", *[""] * (len(head) - 2)])
            continue
        cells = [arm, ""]
        if arm != SCRATCH:
            losses = [one["loss"] for one in results.found[arm]]
            cells[1] = f"{fmean(losses):.2f} ({results.found[arm][0]['chance']:.2f})"
        for name in results.sets:
            cells.append(_spread(results.top1(arm, name)))
            frozen = (
                ""
                if arm == SCRATCH
                else "{:.1f}, {:.1f}".format(
                    *(results.frozen(arm, name, how) for how in ("knn", "probe"))
                )
            )
            cells.append(frozen)
        rows.append(cells)
    return _rows(rows)
