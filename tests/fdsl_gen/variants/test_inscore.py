"""InsCore equals its twin; masks are disjoint, boxes tight, labels what is seen."""

import numpy as np
import pytest

from fdsl_gen import load_recipe, render
from fdsl_gen.core.keys import Key, Stream
from tests.fdsl_gen.variants import naive_contours as naive
from tests.fdsl_gen.variants.test_contours import center_of

SMALL = {"image_size": 128, "num_categories": 12, "num_contours_max": 9, "num_objects_max": 6}
LOUD = {"noise_coefficient_min": 4.0, "num_contours_min": 3, "radius_max": 20}


def small(**settings):
    return load_recipe("inscore", **(SMALL | settings))


def objects_of(recipe, i: int) -> list[tuple]:
    """What image ``i`` shows: category, key, center, radius and oval rates of every object."""
    variant, seed = recipe.variant, recipe.seed
    count = Stream(Key(seed, "image", (i,))).integer(
        variant.num_objects_min, variant.num_objects_max
    )
    found = []
    for number in range(1, count + 1):
        stream = Stream(Key(seed, "image object", (i, number)))
        c = stream.integer(0, recipe.num_categories - 1)
        category = variant.category(c, Key(seed, "category", (c,)))
        radius = stream.integer(variant.radius_min, variant.radius_max)
        rates = stream.uniform(1, 2), stream.uniform(1, 2)
        center = center_of(stream, 512, variant.image_size)
        found.append((category, Key(seed, "image figure", (i, number)), center, radius, rates))
    return found


@pytest.mark.parametrize(
    "settings", [{}, LOUD, {"color": True, "encoding": "rgb8"}, {"min_area": 1}, {"image_size": 70}]
)
def test_images_and_masks_equal_the_twin(settings):
    recipe = small(**settings)
    side, channels = recipe.variant.image_size, 3 if recipe.variant.color else 1
    dropped = 0
    for i in range(6):
        objects = objects_of(recipe, i)
        image, owner = naive.inscore(objects, side, channels)
        areas = [np.count_nonzero(owner == k) for k in range(len(objects) + 1)]
        kept = [k for k in range(1, len(objects) + 1) if areas[k] >= recipe.variant.min_area]
        mask = np.zeros((side, side), int)
        for new, k in enumerate(kept, 1):
            mask[owner == k] = new
        drawn = render(recipe, instance=i)
        assert np.array_equal(drawn.image, image if channels == 3 else image[:, :, 0])
        assert np.array_equal(drawn.mask, mask)
        assert drawn.labels == tuple(objects[k - 1][0].index for k in kept)
        assert drawn.parameters["num_objects"] == len(objects)
        assert drawn.parameters["num_dropped"] == len(objects) - len(kept)
        dropped += len(objects) - len(kept)
    assert dropped > 0 or settings


def test_masks_are_what_is_drawn():
    """Every drawn pixel belongs to an instance, if none is too small to have a label."""
    recipe = small(min_area=1)
    for i in range(10):
        drawn = render(recipe, instance=i)
        assert np.array_equal(drawn.mask > 0, drawn.image > 0)
        assert set(np.unique(drawn.mask)) | {0} == set(range(len(drawn.labels) + 1))


def test_a_later_instance_hides_earlier_ones():
    recipe = small(num_objects_min=6, center_spread=0, radius_min=40)
    for i in range(4):
        objects = objects_of(recipe, i)
        everything, owner = naive.inscore(objects, 128, 1)
        alone, own = naive.inscore(objects[-1:], 128, 1)
        assert np.array_equal(everything[own == 1], alone[own == 1])
        assert np.all(owner[own == 1] == 6)


def test_dropped_instances_stay_drawn():
    strict, all_of_them = small(min_area=10**8), small(min_area=1)
    for i in range(3):
        one, other = render(strict, instance=i), render(all_of_them, instance=i)
        assert np.array_equal(one.image, other.image)
        assert one.labels == ()
        assert not one.mask.any()


def test_about_an_eighth_is_dropped():
    recipe = load_recipe("inscore")
    drawn = [render(recipe, instance=i).parameters for i in range(40)]
    dropped = sum(one["num_dropped"] for one in drawn) / sum(one["num_objects"] for one in drawn)
    assert 0.06 < dropped < 0.2
