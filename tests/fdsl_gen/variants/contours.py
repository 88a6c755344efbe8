"""Small contour datasets."""

from fdsl_gen.recipe.order import SampleId
from fdsl_gen.recipe.recipe import Recipe, load_recipe
from tests import PHOTO

# Settings that draw in milliseconds.
TINY = {
    "rcdb-1k": {"image_size": 48, "num_vertices_max": 12, "num_contours_max": 5},
    "visualatom-1k": {
        "image_size": 48,
        "num_vertices_min": 8,
        "num_vertices_max": 16,
        "num_orbits_max": 5,
    },
    "segrcdb": {
        "image_size": 48,
        "num_vertices_max": 12,
        "num_contours_max": 4,
        "num_objects": 5,
        "mask": "M2",
    },
}


def tiny(name: str, **overrides: object) -> Recipe:
    return load_recipe(name, **(TINY[name] | overrides))


def real(**settings: object) -> Recipe:
    """A small dataset from the photo, unless ``source`` is another picture."""
    return load_recipe("real-1", **({"source": str(PHOTO), "image_size": 40} | settings))


def samples(recipe: Recipe, count: int = 6) -> list[SampleId]:
    """Samples of different categories and, where there are some, instances."""
    if recipe.variant.SCENE:
        return [SampleId(-1, i) for i in range(count)]
    if recipe.variant.max_instances == 1:
        return [SampleId(c, 0) for c in range(count)]
    return [SampleId(k // 2, k % 2) for k in range(count)]
