"""Holding out a share of every class, the same share each time for a seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.keys import Key, permutation


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """What a run kept from training, as it stands in checkpoints and exports.

    Attributes:
        share: of every class.
        seed: chose which.
        data: digest of the samples that were trained on.
    """

    share: float
    seed: int
    data: str

    @classmethod
    def from_saved(cls, saved: Any, name: str) -> "HeldOut | None":
        """What stands in the file ``name``; None where nothing was held out.

        Raises:
            UsageError: if it cannot be.
        """
        if saved is None:
            return None
        values = saved if isinstance(saved, dict) else {}
        share, seed, data = (values.get(key) for key in ("share", "seed", "data"))
        if type(share) is float and 0 < share < 1 and type(seed) is int and seed >= 0:
            return cls(share=share, seed=seed, data=str(data))
        raise UsageError(f"{name}: what was held out from training cannot be what it is there")


def held_out_of(
    labels: Sequence[int], share: float, seed: int, class_names: Sequence[str]
) -> tuple[list[int], list[int]]:
    """Numbers of the samples to keep and of those held out, class after class.

    Of every class at least one sample is held out and at least one is kept.

    Args:
        labels: of all samples, 0 <= label < len(class_names).
        share: of every class.
        seed: chooses which.
        class_names: by label; classes without samples are passed over.

    Raises:
        UsageError: if a class has one sample only.
    """
    members: list[list[int]] = [[] for _ in class_names]
    for number, label in enumerate(labels):
        members[label].append(number)
    kept: list[int] = []
    held: list[int] = []
    for label, own in enumerate(members):
        if len(own) == 1:
            raise UsageError(
                f"the class {class_names[label]} has one image; --val-split needs two of a class"
            )
        count = min(max(1, round(share * len(own))), len(own) - 1)
        chosen = set(permutation(Key(seed, "val split", (label,)), len(own))[:count].tolist())
        kept += [number for i, number in enumerate(own) if i not in chosen]
        held += [number for i, number in enumerate(own) if i in chosen]
    return kept, held
