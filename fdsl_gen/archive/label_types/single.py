"""One label per image, as a number in a ``.cls``."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.archive.label_types.base import LabelType, Target


class Single(LabelType):
    """One label per image."""

    name: ClassVar[str] = "single"
    member: ClassVar[str] = "cls"
    one_label: ClassVar[bool] = True
    hub_task: ClassVar[str] = "image-classification"
    card_text: ClassVar[str] = "a `.cls` with the label as a number"
    card_feature: ClassVar[Mapping[str, Any]] = {"name": "cls", "dtype": "int64"}

    def max_classes(self, num_samples: int) -> int:
        return num_samples

    def target(
        self, category: int, labels: tuple[int, ...] | None, mask: NDArray[np.uint8] | None
    ) -> Target:
        """The category, if the variant gave no other label."""
        return Target((category,) if labels is None else labels)

    def encode(self, target: Target) -> dict[str, bytes]:
        return {"cls": str(target.labels[0]).encode()}

    def decode(self, content: bytes) -> Target:
        if not content.isdigit() or len(content) > 18:
            raise ValueError(f"the label {content[:40]!r} is not an integer from 0 on")
        return Target((int(content),))

    def files(self, key: str, target: Target, members: Mapping[str, bytes]) -> dict[str, bytes]:
        """A folder for each label, which torchvision calls an image folder."""
        return {f"{target.labels[0]:05d}/{key}.png": members["png"]}
