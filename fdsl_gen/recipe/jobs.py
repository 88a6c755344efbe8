"""The categories of a recipe, what its kind is asked to draw of them, and the samples of that."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from fdsl_gen.archive.paths import SHARED
from fdsl_gen.archive.sample import Sample
from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.json_text import read_json
from fdsl_gen.core.keys import Key, category_key
from fdsl_gen.geometry.category_table import table_text
from fdsl_gen.recipe.category_blocks import BLOCK, MOST_BYTES, UNREADABLE, read_block
from fdsl_gen.recipe.order import SampleId
from fdsl_gen.recipe.recipe import Recipe, load_recipe
from fdsl_gen.variants._parametric import Parametric
from fdsl_gen.variants.base import Job, Rendered


class Categories:
    """The categories of a recipe by index.

    Args:
        recipe: whose categories.
        cache: folder of a dataset with what was found out about them before.
    """

    def __init__(self, recipe: Recipe, cache: Path | None = None) -> None:
        self._recipe = recipe
        self._cache = cache if recipe.variant.SEARCHED else None
        self._known: dict[int, Any] = {}
        if cache is not None:
            _load_shared(recipe, cache)

    def __getitem__(self, index: int) -> Any:
        if index not in self._known:
            self._load(index // BLOCK)
        if index not in self._known:
            key = category_key(self._recipe.seed, index)
            self._known[index] = self._recipe.variant.category(index, key)
        return self._known[index]

    def _load(self, block: int) -> None:
        if self._cache is None:
            return
        try:
            found = read_block(self._cache, block, self._recipe.seed)
        except UNREADABLE:
            return  # not searched yet, or damaged: the category is searched again
        self._known.update({one.index: one for one in found})


def _load_shared(recipe: Recipe, cache: Path) -> None:
    """Spare the kind to compute again what its categories share, if an earlier step stored it."""
    try:
        recipe.variant.load_cached(recipe.seed, read_json(cache / Path(SHARED).name, MOST_BYTES))
    except (OSError, ValueError, KeyError, TypeError):
        return  # not stored yet, or damaged: it is computed again


def jobs_of(
    recipe: Recipe, samples: Iterable[SampleId], cache: Path | Categories | None = None
) -> Iterator[Job]:
    """What the variant is asked to draw for these samples.

    Args:
        recipe: of the dataset.
        samples: in any order.
        cache: folder of categories that were found before, or the categories themselves.
    """
    seed, count = recipe.seed, recipe.num_categories
    categories = cache if isinstance(cache, Categories) else Categories(recipe, cache)
    for c, i in samples:
        if recipe.variant.SCENE:
            yield Job(None, i, Key(seed, "image", (i,)), count)
        else:
            yield Job(categories[c], i, Key(seed, "instance", (c, i)), count)


def render(recipe: Recipe | str | Path, category: int | None = None, instance: int = 0) -> Rendered:
    """Draw one image of a dataset, exactly as it stands in the dataset.

    Args:
        recipe: from :func:`load_recipe`, or what that takes: a name, or a path of a YAML file.
        category: 0 <= category, may be beyond the recipe's number of categories unless images
            depend on that (``shuffle_labels`` of linedb); None for scene sets.
        instance: 0 <= instance, less than what the variant has; number of the image in scene sets.

    Returns:
        The image, uint8 (H, W) or (H, W, 3), with its labels or mask, in the form that they have in
        the dataset, and its parameters.

    Raises:
        UsageError: if there is no such image, or no such recipe.

    Examples:
        >>> render("fractal-1", category=7).image.shape
        (512, 512)
        >>> render("fractal-1", category=7).label
        7
    """
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe)
    most = recipe.variant.max_instances
    scene = recipe.variant.SCENE
    if (category is None) != scene:
        how = "is a scene set; give an instance, and no" if scene else "is no scene set; give a"
        raise UsageError(f"{recipe.name} {how} category")
    c = -1 if category is None else category
    if (c < 0 and not scene) or instance < 0 or (most is not None and instance >= most):
        raise UsageError(f"{recipe.name} has no image ({category}, {instance})")
    if recipe.variant.uses_num_categories and c >= recipe.num_categories:
        raise UsageError(
            f"{recipe.name} has {recipe.num_categories:,} categories, no category {c}: with these"
            " settings all images depend on their number; load the recipe with a larger"
            " num_categories"
        )
    sample = SampleId(c, instance)
    (rendered,) = recipe.variant.render(jobs_of(recipe, [sample]))
    return replace(rendered, labels=sample_of(recipe, sample, rendered).labels)


def sample_of(recipe: Recipe, sample: SampleId, rendered: Rendered) -> Sample:
    """The sample that an image, drawn for it, becomes."""
    label_type = recipe.variant.LABEL_TYPE
    target = label_type.target(sample.category, rendered.labels, rendered.mask)
    return Sample(sample.key, rendered.image, target.labels, target.mask, rendered.points)


def json_facts(recipe: Recipe, sample: SampleId, rendered: Rendered) -> dict[str, Any]:
    """What the ``.json`` of a sample says besides its labels."""
    if not recipe.metadata:
        return {}
    category = {} if recipe.variant.SCENE else {"category": sample.category}
    own = {"instance": sample.instance, "seed": str(recipe.seed)}
    return category | own | dict(rendered.parameters)


def categories_csv(recipe: Recipe, cache: Path | None = None) -> str:
    """The parameters of all categories of a recipe, as CSV.

    Args:
        recipe: whose categories.
        cache: folder of categories that were found before.

    Raises:
        UsageError: if they have none.
    """
    variant = recipe.variant
    if not isinstance(variant, Parametric):
        raise UsageError(
            f"the categories of {recipe.name} have no parameters, but only numbers that their"
            " images are drawn from"
        )
    found = Categories(recipe, cache)
    count = 1 if variant.TABLE.shared else recipe.num_categories
    return table_text(variant.TABLE, (variant.category_rows(found[c]) for c in range(count)))
