"""Sizes of images whose pixels have classes, and windows over them."""


def resized_shape(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Height and width with the same shape and ``short_side`` on the shorter side."""
    short = min(height, width)
    return (
        max(short_side, round(height * short_side / short)),
        max(short_side, round(width * short_side / short)),
    )


def window_starts(length: int, side: int, stride: int) -> list[int]:
    """Where windows of ``side`` begin that together cover ``length`` (at least ``side``)."""
    starts = list(range(0, length - side, stride))
    return [*starts, length - side]
