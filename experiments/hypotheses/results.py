"""What came out of the trials, and what it says of the claims."""

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from experiments.hypotheses.plan import SCRATCH, Claim, Contrast, Verdict
from experiments.hypotheses.rules import judge, together


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

    def gains(self, arm: str, name: str) -> list[float]:
        """Points above scratch, of every seed and draw of a set."""
        pairs = zip(self.top1(arm, name), self.top1(SCRATCH, name), strict=True)
        return [value - base for value, base in pairs]

    def ranked(self) -> list[str]:
        """The arms that were pre-trained and have figures, by their mean gain, the best first."""
        arms = [arm for arm in self.found if arm != SCRATCH and self.failed(arm) is None]
        return sorted(arms, key=lambda arm: -fmean(fmean(self.gains(arm, s)) for s in self.sets))

    def effects(self, contrast: Contrast) -> list[float]:
        """Points of these above those, of every set, seed and draw."""
        return [
            fmean(values[: len(contrast.these)]) - fmean(values[len(contrast.these) :])
            for name in self.sets
            for values in zip(*(self.top1(arm, name) for arm in contrast.arms), strict=True)
        ]


def read_results(files: dict[str, list[Path]], sets: tuple[str, ...]) -> Results:
    """What is in the files of results, by arm."""
    return Results(
        sets,
        {arm: [json.loads(path.read_text()) for path in paths] for arm, paths in files.items()},
    )


def verdict_of(claim: Claim, results: Results) -> Verdict:
    """What the effects say of a claim; nothing, if one of its arms failed."""
    if any(results.failed(arm) for one in claim.contrasts for arm in one.arms):
        return "cannot tell"
    return together([judge(results.effects(one), one.kind) for one in claim.contrasts])
