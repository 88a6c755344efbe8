"""What is compared: ways to come by the weights that fine-tuning starts from."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from fdsl_gen.core import settings
from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.recipe_files import is_recipe
from fdsl_gen.core.settings import nearest, setting

SCRATCH = "scratch"


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A way to come by the weights that fine-tuning starts from."""

    name: str = setting(doc="of the row and of the folders")
    dataset: str | None = setting(
        None, doc="what follows fdsl-gen, or recipe:NAME?setting=value; null: weights as drawn"
    )
    control: bool = setting(False, doc="whether it must give no gain")
    full: str | None = setting(None, doc="the recipe of the set at full size")

    def data(self, folder: Path) -> Path | str:
        """What to train on: the recipe, or the place in ``folder`` where the set will be."""
        if is_recipe(self.dataset):
            return str(self.dataset)
        return folder / self.name

    def dataset_options(self) -> tuple[str, ...]:
        """The command of ``fdsl-gen`` and its options; empty for a recipe, which needs no files."""
        return () if is_recipe(self.dataset) else tuple(shlex.split(self.dataset or ""))


@dataclass(frozen=True, kw_only=True)
class Arms:
    """The formula sets of a trial, the most promising first."""

    arms: tuple[Arm, ...] = setting(doc="small sets that are learned in minutes")


def formula_sets(names: tuple[str, ...] = ()) -> list[Arm]:
    """The sets of a trial.

    Args:
        names: of them; empty: all.

    Raises:
        UsageError: if there is none of such a name.
    """
    path = Path(__file__).with_name("sets.yaml")
    known = {
        arm.name: arm for arm in settings.from_dict(Arms, settings.load_yaml(path), path.stem).arms
    }
    for name in names:
        if name not in known:
            raise UsageError(
                f"--sets: no set '{name}'{nearest(name, known)}; there are {', '.join(known)}"
            )
    return [known[name] for name in names] if names else list(known.values())
