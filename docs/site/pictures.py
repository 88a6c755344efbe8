"""Pictures of all kinds of dataset for README and the site, drawn from the published recipes.

python -m docs.site.pictures docs/gallery.jpg
"""

import dataclasses
import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from fdsl_gen.core import recipe_files
from fdsl_gen.dataset.sheet import brightened, colored, contact_sheet
from fdsl_gen.recipe.jobs import jobs_of
from fdsl_gen.recipe.order import SampleId
from fdsl_gen.recipe.recipe import Recipe, load_recipe
from fdsl_gen.variants import kinds, variant_class

Pixels = NDArray[np.uint8]

SIDE = 256  # pixels drawn; smaller ones than published where lines would vanish on a page
_TILE = 148
_CHOSEN = {  # (category, instance) that show what a kind is about; others show the first
    "bezier-curve": (40, 0),
    "dead-leaves": (7, 0),
    "exfractaldb": (50, 0),
    "fractal-color": (3, 1),
    "fractaldb": (2, 0),
    "linedb": (15, 0),
    "mandelbulb": (45, 0),
    "perlin-noise": (34, 0),
    "rcdb": (30, 0),
    "visualatom": (20, 0),
}


def extremes() -> Mapping[str, Mapping[str, Sequence[Any]]]:
    """Which values of which settings of a kind are shown beside each other."""
    found: Mapping[str, Mapping[str, Sequence[Any]]] = yaml.safe_load(
        Path(__file__).with_name("extremes.yaml").read_text()
    )
    return found


def photograph() -> Path:
    """The picture that stands for the user's own: scikit-learn's flower (its README: CC BY)."""
    import sklearn.datasets

    return Path(sklearn.datasets.__file__).parent / "images" / "flower.jpg"


def recipes_of(kind: str) -> list[str]:
    """The published recipes of a kind, the one that stands for it first."""
    folder = recipe_files.recipe_folder()
    found = [
        name
        for name in recipe_files.recipe_names(folder)
        if yaml.safe_load((folder / f"{name}.yaml").read_text())["variant"]["kind"] == kind
    ]
    return sorted(found, key=lambda name: (not name.startswith(kind), len(name), name))


def small(name: str, **overrides: Any) -> Recipe:
    """A published recipe with images no larger than ``SIDE``."""
    recipe = load_recipe(name, **_source_of(name), **overrides)
    size = getattr(recipe.variant, "image_size", SIDE)
    if size <= SIDE or "image_size" in overrides:
        return recipe
    return load_recipe(name, image_size=SIDE, **_source_of(name), **overrides)


def _source_of(name: str) -> dict[str, Any]:
    return {"source": str(photograph())} if name == "real-1" else {}


def draw(recipe: Recipe, samples: Sequence[tuple[int, int]]) -> list[list[Pixels]]:
    """The panels of some samples: the image, and its mask in colors where there is one.

    Args:
        recipe: of the dataset.
        samples: (category, instance); the category of scene sets is not looked at.
    """
    scene = recipe.variant.SCENE
    wanted = [SampleId(-1 if scene else c, i) for c, i in samples]
    drawn = recipe.variant.render(jobs_of(recipe, wanted))
    return [[d.image] if d.mask is None else [d.image, colored(d.mask)[0]] for d in drawn]


def between(recipe: Recipe, count: int = 6) -> list[tuple[int, int]]:
    """Samples of categories from the whole range; of scene sets the first images."""
    if recipe.variant.SCENE:
        return [(-1, i) for i in range(count)]
    last = recipe.num_categories - 1
    return [(last * k // max(count - 1, 1), 0) for k in range(min(count, last + 1))]


def within(recipe: Recipe, count: int = 6) -> list[tuple[int, int]]:
    """Samples of one category."""
    category = min(_CHOSEN.get(recipe.variant.KIND, (1, 0))[0], recipe.num_categories - 1)
    return [(category, i) for i in range(min(count, recipe.num_instances))]


def sheet(panels: Sequence[tuple[Pixels, str]], columns: int = 6) -> Image.Image:
    """Pictures in rows, each over its caption."""
    images, captions = zip(*panels, strict=True)
    return contact_sheet(images, captions, min(columns, len(panels)), _TILE)


def gallery() -> Image.Image:
    """One image of every kind."""
    panels = []
    for kind in kinds():
        recipe = small(recipes_of(kind)[0])
        category, instance = _CHOSEN.get(kind, (1, 0))
        (found,) = draw(recipe, [(min(category, recipe.num_categories - 1), instance)])
        panels.append((brightened(found[:1], _TILE)[0][0], kind))
    return sheet(panels, 8)


def jpeg(image: Image.Image) -> bytes:
    """A picture for a page."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88, subsampling=0, optimize=True)
    return buffer.getvalue()


def samples_sheet(recipe: Recipe, samples: Sequence[tuple[int, int]]) -> Image.Image:
    """Samples with their numbers below."""
    drawn = draw(recipe, samples)
    shown = brightened([found[0] for found in drawn], _TILE)[0]
    panels: list[tuple[Pixels, str]] = []
    for (category, instance), image, found in zip(samples, shown, drawn, strict=True):
        several = f" / {instance}" if recipe.num_instances > 1 else ""
        name = f"image {instance}" if category < 0 else f"category {category}{several}"
        panels += zip([image, *found[1:]], [name, "its mask"], strict=False)
    return sheet(panels)


def setting_sheet(name: str, setting: str, values: Sequence[Any]) -> Image.Image:
    """The same sample under several values of one setting."""
    images, captions = [], []
    for value in values:
        recipe = small(name, **{setting: value})
        kind = recipe.variant.KIND
        category, instance = _CHOSEN.get(kind, (1, 0))
        (found,) = draw(recipe, [(min(category, recipe.num_categories - 1), instance)])
        default = {f.name: f.default for f in dataclasses.fields(variant_class(kind, "kind"))}
        usual = " (default)" if default.get(setting) == value else ""
        images.append(found[-1])
        captions.append(f"{value}{usual}")
    shown = images if len(found) > 1 else brightened(images, _TILE)[0]  # masks have colors
    return sheet(list(zip(shown, captions, strict=True)))


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(jpeg(gallery()))
