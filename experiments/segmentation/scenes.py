"""Scenes with exact masks, cut and pasted from pictures with an alpha channel.

    python -m experiments.segmentation.scenes STAMPS OUT

``STAMPS`` holds a folder for each class, such as ``/usr/share/tuxpaint/stamps`` of Debian's package
``tuxpaint-stamps-default``. Three pictures of any class are pasted onto a colored ground, the later
ones over the earlier; what is validated on has other pictures in it.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CLASSES = ("animals", "food", "plants", "vehicles")
SIDE = 96  # pixels
OBJECTS = 3  # in a scene
_OPAQUE = 128  # alpha from which a pixel is the object's
_HELD_OUT = 4  # of so many pictures one is kept for validation


def pictures_of(stamps: Path, name: str) -> list[Path]:
    """All pictures of a class that are as they were photographed or drawn."""
    found = sorted((stamps / name).rglob("*.png"))
    turned = ("_mirror", "_flip", "_mirror_flip")
    return [path for path in found if not path.stem.endswith(turned)]


def ground(rng: np.random.Generator) -> Image.Image:
    """Smooth random colors with noise."""
    coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.int16)
    noise = rng.integers(-20, 21, smooth.shape)
    return Image.fromarray((smooth + noise).clip(0, 255).astype(np.uint8))


def paste(
    image: Image.Image, mask: NDArray[np.uint8], path: Path, label: int, rng: np.random.Generator
) -> None:
    """Put a picture somewhere onto a scene, wholly inside it."""
    with Image.open(path) as opened:
        stamp = opened.convert("RGBA")
    box = stamp.getchannel("A").point(lambda level: 255 * (level >= _OPAQUE)).getbbox()
    stamp = stamp.crop(box)
    longest = int(rng.integers(SIDE // 3, 2 * SIDE // 3))
    stamp.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    left = int(rng.integers(0, SIDE - stamp.width + 1))
    top = int(rng.integers(0, SIDE - stamp.height + 1))
    image.paste(stamp, (left, top), stamp)
    opaque = np.asarray(stamp.getchannel("A")) >= _OPAQUE
    mask[top : top + stamp.height, left : left + stamp.width][opaque] = label


def write_scenes(
    stamps: Path, out: Path, *, train: int, val: int, seed: int = 0, tuning: bool = False
) -> None:
    """Write ``images/`` and ``annotations/``, each with ``training`` and ``validation``.

    Args:
        stamps: a folder for each of :data:`CLASSES`.
        out: folder to write to.
        train, val: how many scenes.
        seed: of all draws.
        tuning: validate on other pictures than usual, and show those nowhere.
    """
    found = {name: pictures_of(stamps, name) for name in CLASSES}
    for part, count, kept in (("training", train, False), ("validation", val, True)):
        for number in range(count):
            rng = np.random.default_rng([seed, kept, number])
            image, mask = ground(rng), np.zeros((SIDE, SIDE), np.uint8)
            for _ in range(OBJECTS):
                label = int(rng.integers(0, len(CLASSES)))
                own = found[CLASSES[label]]
                own = [
                    one
                    for i, one in enumerate(own)
                    if (i % _HELD_OUT == tuning) == kept and not (tuning and i % _HELD_OUT == 0)
                ]
                paste(image, mask, own[int(rng.integers(0, len(own)))], label + 1, rng)
            for kind, picture in (("images", image), ("annotations", Image.fromarray(mask))):
                path = out / kind / part / f"{number:04d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                picture.save(path)
    (out / "classes.txt").write_text("\n".join(("ground", *CLASSES)) + "\n")


if __name__ == "__main__":
    write_scenes(Path(sys.argv[1]), Path(sys.argv[2]), train=40, val=100)
