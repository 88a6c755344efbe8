"""What the numbers in masks mean."""

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.core.errors import UsageError

#: uint8 or uint16 (H, W) of classes; the highest number of the type is for pixels without a class.
Mask = NDArray[np.uint8] | NDArray[np.uint16]

IGNORED = -1  # in tensors: a pixel that has no class
OUTSIDE = -2  # in tensors: beyond a mask that is smaller than others of its batch


def fill_of(mask: Mask) -> int:
    """The number that stands for "no class": 255, or 65535 in masks of 16 bits."""
    return int(np.iinfo(mask.dtype).max)


def classes_of_ours(mask: NDArray[np.uint8]) -> Mask:
    """The mask of a dataset of ours, where no number of 8 bits means "no class"."""
    return mask.astype(np.uint16)


def as_classes(mask: Mask) -> NDArray[np.int32]:
    """int32 (H, W), pixels without a class as :data:`IGNORED`."""
    classes = mask.astype(np.int32)
    classes[mask == fill_of(mask)] = IGNORED
    return classes


def check_classes(mask: Mask, num_classes: int, where: str) -> None:
    """Refuse a mask with a class that there is not.

    Raises:
        UsageError: if there is one; the sentence begins with ``where``.
    """
    labeled = mask[mask != fill_of(mask)]
    if labeled.size and (highest := int(labeled.max())) >= num_classes:
        raise UsageError(
            f"{where}: it has the class {highest}, and the classes are 0 to {num_classes - 1}"
        )
