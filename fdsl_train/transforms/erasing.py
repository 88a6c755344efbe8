"""timm's random erasing without an image: which box, and what is put there."""

from typing import Any

import torch
from timm.data.random_erasing import RandomErasing
from torch import Tensor

from fdsl_train.config import Resolved
from fdsl_train.transforms.batch import Box


class Erasing:
    """Draws one box per image, or none; from the same generators as timm, in the same order.

    Args:
        config: the run.
    """

    def __init__(self, config: Resolved) -> None:
        self._size = config.img_size
        self._erase: Any = None
        if config.reprob > 0:
            self._erase = RandomErasing(  # type: ignore[no-untyped-call]
                config.reprob, mode=config.remode, device="cpu"
            )

    def __call__(self) -> Box | None:
        """What to erase from the next image."""
        if self._erase is None:
            return None
        canvas = _Canvas(self._size)
        self._erase(canvas)
        return canvas.box


class _Canvas:
    """To timm an image, three channels of float32, that only notes what is written to it."""

    dtype = torch.float32

    def __init__(self, size: int) -> None:
        self._size = size
        self.box: Box | None = None

    def size(self) -> tuple[int, int, int]:
        return 3, self._size, self._size

    def __setitem__(self, place: tuple[slice, slice, slice], values: Tensor) -> None:
        _, rows, columns = place
        height, width = rows.stop - rows.start, columns.stop - columns.start
        box = values.expand(3, height, width)  # but for pixel mode: one value a channel
        self.box = Box(rows.start, columns.start, height, width, box)
