"""What is compared: arms, the recipes they share, and the draws of labeled digits."""

from dataclasses import dataclass
from pathlib import Path

from fdsl_gen.core import settings
from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.settings import setting
from fdsl_train.trial.arms import SCRATCH, Arm

PLAN = Path(__file__).with_name("plan.yaml")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A comparison. Read by :func:`load_plan`."""

    pretrain: str = setting(doc="training recipe, name or path")
    finetune: str = setting(doc="training recipe, name or path")
    labels: int = setting(doc="labeled digits per class in a draw", low=1)
    draws: tuple[int, ...] = setting(doc="seeds of the draws of labeled digits", low=0)
    arms: tuple[Arm, ...] = setting(doc="what is compared; one is called scratch")

    def __post_init__(self) -> None:
        names = [arm.name for arm in self.arms]
        if len(set(names)) < len(names):
            raise UsageError("arms: two have the same name")
        if [arm.name for arm in self.arms if arm.dataset is None] != [SCRATCH]:
            raise UsageError(f"arms: exactly one, named {SCRATCH}, must have no dataset")
        if not self.draws or len(set(self.draws)) < len(self.draws):
            raise UsageError("draws: must be different seeds, at least one")


def load_plan(path: Path) -> Plan:
    """Read a plan.

    Raises:
        UsageError: if it cannot be read, or a key or value is wrong.
    """
    return settings.from_dict(Plan, settings.load_yaml(path), path.stem)
