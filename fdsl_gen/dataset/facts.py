"""What a manifest says of all images of a dataset, as it follows from the recipe."""

from typing import Any

from fdsl_gen.archive.manifest import ImageEntry
from fdsl_gen.recipe.recipe import Recipe


def facts_of(recipe: Recipe) -> dict[str, Any]:
    """Values of fields of a ``Manifest``, by name."""
    image = recipe.variant.image
    return {
        "task": recipe.variant.LABEL_TYPE.name,
        "num_classes": recipe.num_classes,
        "image": ImageEntry(
            height=image.height, width=image.width, channels=image.channels, levels=image.levels
        ),
        "views_per_sample": recipe.views_per_sample,
    }
