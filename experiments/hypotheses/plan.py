"""What is compared: arms, the claims about them, and how long everything takes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fdsl_gen.core import settings
from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.settings import nearest, setting

PLAN = Path(__file__).with_name("claims.yaml")
SCRATCH = "scratch"

Kind = Literal["above", "not above", "not below"]
Verdict = Literal["holds", "does not hold", "cannot tell"]


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A set of formula images to pre-train on."""

    name: str = setting(doc="of the folders, and in tables")
    data: str = setting(doc="recipe:NAME?setting=value; {work} is the folder of source images")
    full: str = setting(doc="the same at the size of the paper, for --scale gpu")

    def recipe(self, scale: "Scale") -> str:
        """What to pre-train on at a scale."""
        return self.full if scale.full else self.data


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """Two groups of arms, of which one is said to be ``kind`` the other."""

    these: tuple[str, ...] = setting(doc="arms whose mean counts")
    those: tuple[str, ...] = setting(doc="arms that it is compared with")
    kind: Kind = setting(doc="what the claim says of these")

    @property
    def arms(self) -> tuple[str, ...]:
        """All of them."""
        return self.these + self.those


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a paper says, and what would bear it out here."""

    name: str = setting(doc="for --only, and of the picture")
    claim: str = setting(doc="in one sentence")
    source: str = setting(doc="where it is said, with its figures")
    predicted: Verdict = setting(doc="the verdict that we expected, written before the runs")
    prediction: str = setting(doc="why, and what else we expected")
    axis: str = setting(doc="what differs between the arms")
    arms: tuple[str, ...] = setting(doc="arms of the picture and the table, in order")
    contrasts: tuple[Contrast, ...] = setting(doc="what must hold for the claim to hold")

    @property
    def named(self) -> set[str]:
        """The arms that it shows or compares."""
        return {*self.arms, *(arm for contrast in self.contrasts for arm in contrast.arms)}


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How a run at a size is done."""

    pretrain: str = setting(doc="training recipe")
    pretrain_steps: int | None = setting(None, doc="instead of its own length", low=1)
    finetune: str = setting(doc="training recipe")
    finetune_steps: int | None = setting(None, doc="instead of its own length", low=1)
    img_size: int = setting(doc="side of the input, pixels", low=1)
    rates: tuple[float, ...] = setting(doc="learning rates that scratch chooses from", low=0.0)
    full: bool = setting(False, doc="whether arms have the size of the paper")

    @property
    def pretraining(self) -> dict[str, Any]:
        """Settings in place of those of the recipe."""
        return {} if self.pretrain_steps is None else {"steps": self.pretrain_steps}

    @property
    def finetuning(self) -> dict[str, Any]:
        """Settings in place of those of the recipe; a long one is measured at its end alone."""
        steps = self.finetune_steps
        return {"eval_epochs": 1000} if steps is None else {"steps": steps}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All of it. Read by :func:`load_plan`."""

    labels: int = setting(doc="labeled images of a class in a draw", low=1)
    measured: int = setting(doc="images of a class to measure on", low=1)
    bank: int = setting(doc="images of a class whose frozen features are learned from", low=1)
    draws: int = setting(doc="draws of labeled images", low=1)
    seeds: int = setting(doc="seeds of images and pre-training", low=1)
    cpu: Scale = setting(doc="two cores, 28 pixels")
    gpu: Scale = setting(doc="a GPU, 224 pixels")
    arms: tuple[Arm, ...] = setting(doc="sets of formula images")
    claims: tuple[Claim, ...] = setting(doc="of the papers")

    def __post_init__(self) -> None:
        known = [SCRATCH, *(arm.name for arm in self.arms)]
        if len(set(known)) < len(known):
            raise UsageError("arms: two have the same name")
        for claim in self.claims:
            for name in sorted(claim.named):
                if name not in known:
                    raise UsageError(f"claims: {claim.name} names no arm{nearest(name, known)}")

    def only(self, names: tuple[str, ...]) -> tuple[Claim, ...]:
        """The claims of these names; all if there are none.

        Raises:
            UsageError: if there is no such claim.
        """
        known = {claim.name: claim for claim in self.claims}
        for name in names:
            if name not in known:
                raise UsageError(
                    f"--only: no claim '{name}'{nearest(name, known)}; there are {', '.join(known)}"
                )
        return tuple(known[name] for name in names) if names else self.claims

    def arms_of(self, claims: tuple[Claim, ...]) -> list[Arm]:
        """The arms that claims speak of, in the order of the plan."""
        used = {name for claim in claims for name in claim.named}
        return [arm for arm in self.arms if arm.name in used]


def images_of(plan: Plan, scale: Scale, arms: int, sets: int) -> tuple[int, int]:
    """Images that pass through models in all pre-trainings, and in all fine-tunings.

    Args:
        plan: how many seeds and draws.
        scale: how long.
        arms: that are pre-trained; scratch comes on top.
        sets: real ones, of ten classes.
    """
    from fdsl_train.config import load_config

    first = load_config(scale.pretrain, "pretrain", scale.pretraining)
    assert first.steps is not None  # recipes of pre-training count in steps
    second = load_config(scale.finetune, "finetune", scale.finetuning)
    labeled = 10 * plan.labels
    steps = second.steps or second.steps_for(second.epochs or 0, labeled)
    each = steps * second.global_batch_size + 10 * plan.measured
    finetunings = (arms + 1) * plan.seeds * sets * plan.draws + sets * len(scale.rates)
    pretrained = arms * plan.seeds * first.steps * first.global_batch_size
    return pretrained, finetunings * each


def load_plan(path: Path = PLAN) -> Plan:
    """Read a plan.

    Raises:
        UsageError: if it cannot be read, or a key or value is wrong.
    """
    return settings.from_dict(Plan, settings.load_yaml(path), path.stem)
