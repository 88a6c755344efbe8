"""A category for every pixel, as a gray image beside the image."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.archive import png
from fdsl_gen.archive.label_types.base import LabelType, Target


class Segmentation(LabelType):
    """A semantic mask: category c stands as level c + 1, the background as 0."""

    name: ClassVar[str] = "segmentation"
    member: ClassVar[str] = "mask.png"
    max_categories: ClassVar[int | None] = 255
    dense: ClassVar[bool] = True
    panels: ClassVar[int] = 2
    hub_task: ClassVar[str] = "image-segmentation"
    card_text: ClassVar[str] = "a `.mask.png` whose gray levels are categories, 0 the background"
    card_feature: ClassVar[Mapping[str, Any]] = {
        "name": "mask.png",
        "dtype": {"image": {"mode": "L"}},
    }

    def num_classes(self, num_categories: int) -> int:
        return num_categories + 1

    def target(
        self, category: int, labels: tuple[int, ...] | None, mask: NDArray[np.uint8] | None
    ) -> Target:
        return Target(mask=mask)

    def encode(self, target: Target) -> dict[str, bytes]:
        if target.mask is None:
            raise ValueError("it has no mask")
        return {"mask.png": png.encode(target.mask, "gray8")}

    def decode(self, content: bytes) -> Target:
        return Target(mask=png.decode(content))

    def files(self, key: str, target: Target, members: Mapping[str, bytes]) -> dict[str, bytes]:
        """Images and masks of equal names in two folders, as of ADE20k."""
        return {f"images/{key}.png": members["png"], f"masks/{key}.png": members["mask.png"]}
