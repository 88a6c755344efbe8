"""Scenes of multi-fractal equal the slow twin, labels and pixels."""

import json

import numpy as np
import pytest

from fdsl_gen import generate, load_recipe, open_dataset, render
from fdsl_gen.core.keys import Key
from fdsl_gen.recipe.jobs import jobs_of
from fdsl_gen.recipe.order import SampleId
from tests.fdsl_gen.variants import naive_colored as naive
from tests.fdsl_gen.variants import naive_pictures as pictures

TINY = {"image_size": 24, "num_points": 300, "object_canvas": 14, "num_images": 100}
CHANGES = [
    {},
    {"hue": "full_circle", "seed": 3},
    {"color": False},
    {"background": False},
    {"flip_probability": 1.0, "blur_probability": 1.0},
    {"flip_probability": 0.0, "blur_probability": 0.0},
    {"num_categories": 2, "num_objects_min": 6, "num_objects_max": 6},
    {"object_size_min": 0.01, "object_size_max": 1.5},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_image_equals_twin(change):
    recipe = load_recipe("multi-fractal", **(TINY | change))
    for i in (0, 1, 2, 57, 99):
        key = Key(recipe.seed, "image", (i,))
        picture, labels = naive.multi_fractal(recipe.variant, key, recipe.num_categories)
        found = render(recipe, None, i)
        assert np.array_equal(found.image, np.array(picture))
        assert found.labels == labels


def test_gray_scenes_have_one_channel():
    change = {"color": False, "background": False, "encoding": "gray8"}
    recipe = load_recipe("multi-fractal", **TINY, **change)
    for i in range(4):
        picture, _ = naive.multi_fractal(recipe.variant, Key(0, "image", (i,)), 1000)
        assert np.array_equal(render(recipe, None, i).image, np.array(picture)[:, :, 0])


def test_labels_are_the_objects_sorted_and_unique():
    recipe = load_recipe("multi-fractal", **TINY, num_categories=3)
    repeated = 0
    for i in range(40):
        found = render(recipe, None, i)
        assert found.labels == tuple(sorted(set(found.labels)))
        assert set(found.labels) <= {0, 1, 2}
        repeated += found.parameters["num_objects"] > len(found.labels)
    assert repeated > 10


def test_later_objects_lie_on_top():
    """The last object of a scene stands in the image as it would alone."""
    recipe = load_recipe("multi-fractal", **TINY, blur_probability=0.0, background=False)
    checked = 0
    for i, job in enumerate(jobs_of(recipe, [SampleId(-1, i) for i in range(30)])):
        scene = recipe.variant._plan(job)
        if len(scene.objects) < 2:
            continue
        picture = [[pictures.BLACK] * 24 for _ in range(24)]
        one = scene.objects[-1]
        played = naive.points(one.game.affine_N6.tolist(), one.game.key, TINY["num_points"])
        windows = [(min(p[axis] for p in played), max(p[axis] for p in played)) for axis in (0, 1)]
        counts = naive.hits(played, windows, one.patch_33.ravel().tolist(), 14)
        look = one.look
        tile = pictures.colored(pictures.flipped(counts, *look[:3]), look[3:], recipe.variant)
        pictures.paste(picture, pictures.resized(tile, one.size), one.top, one.left)
        lit = np.array(picture).any(axis=2)
        assert np.array_equal(render(recipe, None, i).image[lit], np.array(picture)[lit])
        checked += lit.any()
    assert checked > 10


def test_laws_of_scenes():
    recipe = load_recipe("multi-fractal", num_points=1, num_images=3000)
    scenes = [recipe.variant._plan(job) for job in jobs_of(recipe, samples(1200))]
    counts = np.bincount([len(scene.objects) for scene in scenes], minlength=7)
    assert counts[0] == counts[6] == 0
    assert counts[1:6].min() > 0.16 * len(scenes)
    objects = [one for scene in scenes for one in scene.objects]
    sizes = [one.size for one in objects]
    assert min(sizes) == int(224 * 0.15) and 132 <= max(sizes) <= 134
    assert np.mean(sizes) == pytest.approx(224 * 0.375 - 0.5, abs=2)
    for name in ("left", "top"):
        places = [getattr(one, name) + one.size // 2 for one in objects]
        assert 0 <= min(places) <= 1 and 222 <= max(places) <= 223
        assert np.histogram(places, 4, (0, 224))[0] == pytest.approx(len(places) / 4, rel=0.12)
    labels = [one.system.index for one in objects]
    assert min(labels) >= 0 and max(labels) <= 999
    assert np.histogram(labels, 5, (0, 1000))[0] == pytest.approx(len(labels) / 5, rel=0.12)
    assert len(set(labels)) > 900


def samples(count: int) -> list[SampleId]:
    return [SampleId(-1, i) for i in range(count)]


def test_objects_are_new_in_every_image():
    recipe = load_recipe("multi-fractal", **TINY, num_categories=1)
    keys = [
        one.game.key.digest
        for job in jobs_of(recipe, samples(50))
        for one in recipe.variant._plan(job).objects
    ]
    assert len(set(keys)) == len(keys)


def test_labels_stand_in_the_shards(tmp_path):
    recipe = load_recipe("multi-fractal", **(TINY | {"num_images": 12}), num_shards=2)
    generate(recipe, tmp_path / "set", workers=1)
    dataset = open_dataset(tmp_path / "set")
    assert len(dataset) == 12
    for i in range(12):
        drawn = render(recipe, None, i)
        assert dataset[f"{i:08d}"].labels == drawn.labels
        assert np.array_equal(dataset[f"{i:08d}"].image, drawn.image)
    info = json.loads((tmp_path / "set" / "manifest.json").read_text())
    assert (info["task"], info["num_classes"]) == ("multi", 1000)
