"""The rule of verdicts, fixed before the runs.

An effect is the difference of two groups of arms in top-1 after full fine-tuning, in points, of one
real set, seed of pre-training and draw of labels; a group counts with the mean of its arms. With
three sets, two seeds and three draws there are 18 effects, and every one counts.

- "above" holds if the mean effect is more than a point and nine of ten effects are positive. It
  does not hold if the mean effect is a point or less and no more than two thirds are positive.
- "not above" holds if the mean effect is a point or less. It does not hold if "above" does.
- "not below" is the same, turned round.
- Everything else cannot be told.

A claim of several such sentences holds if all do, and does not hold if one does not.
"""

from collections.abc import Sequence
from statistics import fmean

from experiments.hypotheses.plan import Kind, Verdict

MARGIN = 1.0  # points of top-1
NEARLY_ALL = 0.9
NOT_MOST = 2 / 3


def judge(effects: Sequence[float], kind: Kind) -> Verdict:
    """What effects say of "these are ``kind`` those"."""
    if kind == "not below":
        return judge([-effect for effect in effects], "not above")
    mean = fmean(effects)
    positive = sum(effect > 0 for effect in effects) / len(effects)
    above = mean > MARGIN and positive >= NEARLY_ALL
    if kind == "above":
        if above:
            return "holds"
        return "does not hold" if mean <= MARGIN and positive <= NOT_MOST else "cannot tell"
    if above:
        return "does not hold"
    return "holds" if mean <= MARGIN else "cannot tell"


def together(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict of a claim from those of its sentences."""
    if "does not hold" in verdicts:
        return "does not hold"
    return "cannot tell" if "cannot tell" in verdicts else "holds"
