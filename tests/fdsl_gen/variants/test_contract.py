"""What every kind promises, and the meaning of labels and masks."""

import contextlib
import dataclasses
from collections import Counter
from random import Random
from unittest.mock import patch

import numpy as np
import pytest

from fdsl_gen import generate, open_dataset
from fdsl_gen.core.errors import RenderError, UsageError
from fdsl_gen.core.keys import Key
from fdsl_gen.core.recipe_files import recipe_folder, recipe_names
from fdsl_gen.dataset.export import export_tree
from fdsl_gen.recipe.jobs import jobs_of, render
from fdsl_gen.recipe.recipe import MAX_SHARD_BYTES, load_recipe
from fdsl_gen.variants import kinds
from fdsl_gen.variants._contours import RadialSettings
from fdsl_gen.variants.linedb import LineDb
from tests.fdsl_gen.variants.contours import samples, tiny
from tests.fdsl_gen.variants.random_settings import draw_recipe, files, short_searches, some_samples

OURS = [
    name
    for name in recipe_names(recipe_folder())
    if isinstance(load_recipe(name).variant, RadialSettings | LineDb)
]


def test_segrcdb_depends_on_the_number_of_categories():
    assert tiny("segrcdb").identity != tiny("segrcdb", num_categories=100).identity


@pytest.mark.parametrize("name", ["rcdb-1k", "visualatom-1k", "segrcdb"])
def test_a_dataset_from_start_to_end(name, tmp_path):
    counts = {"num_images": 8} if name == "segrcdb" else {"num_categories": 4, "num_instances": 3}
    recipe = tiny(name, **counts, metadata=True)
    manifest = generate(recipe, tmp_path / "out", workers=1)
    assert manifest.task == recipe.variant.LABEL_TYPE.name
    stored = open_dataset(tmp_path / "out")
    for key in stored:
        *category, instance = map(int, key.split("_"))
        drawn = render(recipe, category[0] if category else None, instance)
        assert np.array_equal(stored[key].image, drawn.image)
        assert stored[key].labels == drawn.labels
        assert drawn.mask is None or np.array_equal(stored[key].mask, drawn.mask)


@pytest.mark.parametrize("name", OURS)
def test_published_shard_counts_are_the_least_for_128_megabytes(name):
    recipe = load_recipe(name)
    least = -(
        -recipe.num_samples * recipe.variant.nominal_bytes(recipe.num_categories) // MAX_SHARD_BYTES
    )
    assert recipe.num_train_shards == -(-least // 8) * 8


def test_lines_are_counted():
    recipe = load_recipe("linedb-1000", lines_min=5, lines_step=3, image_size=4096)
    for c in (0, 1, 4):
        assert render(recipe, c, 0).parameters["num_lines"] == 5 + 3 * c
    # On a large canvas lines of different grays hardly ever hide each other.
    image = render(recipe, 2, 0).image
    assert 9 <= len(np.unique(image)) - 1 <= 11


def test_line_labels():
    plain = load_recipe("linedb-32")
    assert render(plain, 7, 0).labels == (7,)
    shuffled = load_recipe("linedb-32", shuffle_labels=True)
    tables = []
    for i in range(4):
        labels = [render(shuffled, c, i).labels for c in range(32)]
        assert sorted(label for (label,) in labels) == list(range(32))
        tables.append(labels)
    assert len({str(table) for table in tables}) == 4
    assert np.array_equal(render(plain, 7, 2).image, render(shuffled, 7, 2).image)


def test_shuffled_labels_stand_in_the_shards_and_decide_the_tree(tmp_path):
    counts = {"num_categories": 6, "num_instances": 3, "num_shards": 2}
    recipe = load_recipe("linedb-16", shuffle_labels=True, image_size=32, **counts)
    generate(recipe, tmp_path / "out", workers=1)
    stored = open_dataset(tmp_path / "out")
    moved = 0
    for key in stored:
        category, instance = map(int, key.split("_"))
        (label,) = stored[key].labels
        assert (label,) == render(recipe, category, instance).labels
        moved += label != category
    assert moved > 6
    export_tree(tmp_path / "out", tmp_path / "tree", lambda count: None)
    found = {path.stem: int(path.parent.name) for path in (tmp_path / "tree").rglob("*.png")}
    assert found == {key: stored[key].labels[0] for key in stored}


def test_a_lost_marker_of_masks_is_made_again(tmp_path):
    recipe = tiny("segrcdb", num_images=4, num_shards=2)
    before = generate(recipe, tmp_path / "out", workers=1)
    (tmp_path / "out" / "manifest.json").unlink()
    for marker in (tmp_path / "out" / "__meta__" / "markers").iterdir():
        marker.unlink()
    assert generate(recipe, tmp_path / "out", workers=1) == before


@contextlib.contextmanager
def recorded_keys():
    """The keys whose streams are begun, one after another."""
    used = []
    words = Key.words.fget

    def recorded(key):
        used.append(key)
        return words(key)

    with patch.object(Key, "words", property(recorded)):
        yield used


@pytest.mark.parametrize("kind", kinds())
def test_no_two_draws_of_an_image_share_a_key(kind, tmp_path):
    """Streams of one key are equal, so what is drawn from them would depend on each other."""
    known = files(tmp_path)
    broken = {"broken_contours": 3} if kind == "rcdb" else {}
    for seed in range(6):
        with short_searches():
            made = draw_recipe(kind, known, Random(f"{kind} keys {seed}"))
            made = dataclasses.replace(made, variant=dataclasses.replace(made.variant, **broken))
            try:
                made.variant.check_files()
                jobs = list(jobs_of(made, some_samples(made, Random(seed))[:1]))
            except (RenderError, UsageError):  # a table of systems that it cannot vary
                continue
            with recorded_keys() as used, contextlib.suppress(RenderError):
                list(made.variant.render(jobs))
        for key, times in Counter(key.digest for key in used).items():
            role = next(one.role for one in used if one.digest == key)
            # Noise and grays of a figure take words of one stream, the grays from 2**40 on.
            assert times <= (2 if role.endswith("figure") else 1), role


def objects_of(recipe, image: int = 0):
    """Category, key and pixels of every figure of a scene."""
    (job,) = jobs_of(recipe, samples(recipe, image + 1)[image:])
    return [(figure, list(contours)) for figure, _, contours in recipe.variant._placed(job)]


def test_m1_marks_exactly_the_lines():
    """Apart from lines of gray 0, which only the mask shows."""
    drawn = render(load_recipe("segrcdb", image_size=256), None, 1)
    assert np.all(drawn.mask[drawn.image > 0] > 0)
    hidden = np.count_nonzero((drawn.mask > 0) & (drawn.image == 0))
    assert hidden < 0.03 * np.count_nonzero(drawn.mask)
    assert drawn.mask.max() <= 254


def test_one_contour_leaves_no_area_in_m2():
    single = load_recipe("segrcdb", num_contours_max=1, image_size=256, mask="M2")
    assert not render(single, None, 0).mask.any()
    filled = dataclasses.replace(single.variant, mask="M3")
    assert next(iter(filled.render(jobs_of(single, samples(single, 1))))).mask.any()


@pytest.mark.parametrize("mask", ["M1", "M3"])
def test_later_objects_lie_over_earlier_ones(mask):
    recipe = load_recipe("segrcdb", num_objects=20, image_size=128, mask=mask)
    last, _ = objects_of(recipe)[-1]
    drawn = render(recipe, None, 0).mask
    shorter = load_recipe("segrcdb", num_objects=19, image_size=128, mask=mask)
    before = render(shorter, None, 0).mask
    assert set(np.unique(drawn[drawn != before])) == {last.index + 1}


def test_m2_empties_the_inside_of_earlier_objects():
    """The hole of a later ring takes away what lay there before."""
    settings = {"image_size": 256, "radius_min": 40, "mask": "M2"}
    before = render(load_recipe("segrcdb", num_objects=31, **settings), None, 0).mask
    after = render(load_recipe("segrcdb", num_objects=32, **settings), None, 0).mask
    assert np.count_nonzero((before > 0) & (after == 0)) > 50
