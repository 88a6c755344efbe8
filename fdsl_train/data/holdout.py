"""Holding out a share of every class, the same share each time for a seed."""

from collections.abc import Sequence

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.keys import Key, permutation


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
