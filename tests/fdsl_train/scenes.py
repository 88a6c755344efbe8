"""Small pictures with exact masks: colored boxes on a gray ground."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

COLORS = np.array([(90, 90, 90), (220, 40, 40), (40, 200, 60), (60, 70, 230)], np.uint8)
CLASSES = len(COLORS)


def scene(
    seed: int, height: int = 48, width: int = 48
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """An image uint8 (H, W, 3), and its mask uint8 (H, W): a box of each class but 0."""
    rng = np.random.default_rng([7, seed])
    mask = np.zeros((height, width), np.uint8)
    for label in range(1, CLASSES):
        top, left = rng.integers(0, height - 16), rng.integers(0, width - 16)
        rows, columns = rng.integers(10, 16, 2)
        mask[top : top + rows, left : left + columns] = label
    return COLORS[mask], mask


def write_pair(image: Path, mask: Path, seed: int, **size: int) -> NDArray[np.uint8]:
    """Write a scene as two files; its mask."""
    pixels, classes = scene(seed, **size)
    for path, content in ((image, pixels), (mask, classes)):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(content).save(path)
    return classes


def write_scenes(root: Path, *, train: int = 16, val: int = 6) -> Path:
    """A folder as of ADE20k, of scenes in two sizes."""
    for part, count in (("training", train), ("validation", val)):
        for i in range(count):
            image = root / "images" / part / f"{i}.png"
            mask = root / "annotations" / part / f"{i}.png"
            write_pair(image, mask, 100 * (part == "validation") + i, width=48 + 16 * (i % 2))
    (root / "classes.txt").write_text("ground\nred\ngreen\nblue\n")
    return root
