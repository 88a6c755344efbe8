"""What images a model takes."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """From an image file to a model's input; the fields are those of the same name in a recipe.

    Attributes:
        img_size: side of the input, pixels.
        mean, std: per channel, of images in 0..1.
        interpolation: of the resize, as timm names it.
        crop_pct: share of the resized image that the center crop keeps.
        eval_mode: of segmentation, ``whole`` or ``slide``.
        short_side: of images under windows, pixels; None: as ``img_size``.
        eval_stride: from a window to the next, pixels; None: two thirds of ``img_size``.
    """

    img_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    crop_pct: float
    eval_mode: str = "whole"
    short_side: int | None = None
    eval_stride: int | None = None

    @classmethod
    def of(cls, settings: dict[str, Any]) -> "InputSpec":
        """The fields among the settings of a run."""
        return cls(
            img_size=settings["img_size"],
            mean=tuple(settings["mean"]),
            std=tuple(settings["std"]),
            interpolation=settings["interpolation"],
            crop_pct=settings["crop_pct"],
            eval_mode=settings["eval_mode"],
            short_side=settings["short_side"],
            eval_stride=settings["eval_stride"],
        )
