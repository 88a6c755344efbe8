"""Samples drawn when asked for are those of the dataset on disk; categories are searched once."""

import pickle
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from fdsl_gen import RecipeSplit, generate, load_recipe, parse_recipe, prepare
from fdsl_gen.archive import tar
from fdsl_gen.archive.sample import digest_text
from fdsl_gen.build import on_demand
from fdsl_gen.core.errors import UsageError
from fdsl_gen.executors import Silent
from fdsl_gen.variants import kinds
from tests.fdsl_gen.variants.test_determinism import some_of
from tests.golden.samples import NAMES

OF_KIND = {load_recipe(name).variant.KIND: name for name in NAMES}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Categories of these tests, but the compiled kernels of all."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(on_demand, "cache_folder", lambda name: folder)
    return folder


class Counting(Silent):
    def __init__(self):
        self.found = 0

    def images(self, count):
        self.found += count


def test_there_is_a_recipe_of_every_kind():
    assert sorted(OF_KIND) == kinds()


@pytest.mark.parametrize("kind", kinds())
def test_samples_are_those_on_disk(kind, tmp_path):
    recipe = some_of(OF_KIND[kind])
    manifest = generate(recipe, tmp_path / "d", workers=1)
    cache = prepare(recipe, workers=1)
    for name, entry in manifest.splits.items():
        split = pickle.loads(pickle.dumps(RecipeSplit(recipe, name, cache=cache)))
        assert split.shard_sizes == tuple(shard.samples for shard in entry.shards)
        for number, shard in enumerate(entry.shards):
            wanted = [split.sample(number, row) for row in range(shard.samples)]
            stored = [sample.key for sample in tar.read_samples(tmp_path / "d" / shard.file)]
            assert [sample.key for sample in wanted] == stored
            drawn = dict(split.render(wanted))
            assert [drawn[place].key for place in range(len(wanted))] == stored
            total = sum(sample.digest() for sample in drawn.values())
            assert digest_text(total) == shard.content_digest


def test_any_mix_of_samples_can_be_asked_for():
    recipe = some_of("exfractaldb-1k")
    split = RecipeSplit(recipe, cache=prepare(recipe, workers=1))
    all_of_it = [split.sample(s, row) for s, n in enumerate(split.shard_sizes) for row in range(n)]
    alone = {one: next(split.render([one]))[1].image for one in all_of_it[::5]}
    mixed = random.Random(0).choices(list(alone), k=20)  # some of them several times
    drawn = dict(split.render(mixed))
    assert sorted(drawn) == list(range(20))
    for place, one in enumerate(mixed):
        assert drawn[place].key == one.key
        assert np.array_equal(drawn[place].image, alone[one])


def test_later_epochs_show_further_instances():
    recipe = some_of("rcdb-1k")
    split = RecipeSplit(recipe)
    first, later = split.sample(0, 3), split.sample(0, 3, epoch=2)
    assert later == (first.category, first.instance + 2 * recipe.num_instances)


def test_categories_are_searched_once_and_more_of_them_later(own_cache):
    few = load_recipe("exfractaldb-1k", num_categories=3, num_points=500)
    for recipe, found in ((few, 3), (few, 0), (replace(few, num_categories=5, num_shards=None), 5)):
        watch = Counting()
        assert prepare(recipe, workers=1, observer=watch) == own_cache / recipe.identity
        assert watch.found == found
    (folder,) = (path for path in own_cache.iterdir() if path.is_dir())
    assert sorted(path.name for path in folder.iterdir()) == ["block-000000.npz", "shared.json"]


def test_of_several_that_ask_at_once_one_searches():
    recipe = load_recipe("exfractaldb-1k", num_categories=3, num_points=500)
    watches = [Counting(), Counting()]
    with ThreadPoolExecutor(2) as pool:
        folders = list(pool.map(lambda w: prepare(recipe, workers=1, observer=w), watches))
    assert folders[0] == folders[1]
    assert sorted(watch.found for watch in watches) == [0, 3]


def test_without_a_folder_of_ones_own_nothing_is_searched(monkeypatch):
    monkeypatch.setattr(on_demand, "cache_folder", lambda name: None)
    with pytest.raises(UsageError, match="let XDG_CACHE_HOME name one"):
        prepare(some_of("fractaldb-60"))
    assert prepare(some_of("rcdb-1k")) is None


def test_a_split_that_there_is_not_is_refused():
    with pytest.raises(UsageError, match="fractal-1 has no validation split"):
        RecipeSplit(load_recipe("fractal-1"), "validation")


def test_settings_stand_behind_the_name(tmp_path):
    found = parse_recipe(
        "recipe:fractal-1?num_categories=20&image_size=64&delta=2e-1&metadata=true"
    )
    assert found == load_recipe(
        "fractal-1", num_categories=20, image_size=64, delta=0.2, metadata=True
    )
    assert parse_recipe("fractal-1") == load_recipe("fractal-1")
    own = tmp_path / "mine.yaml"
    own.write_text("name: mine\nnum_categories: 4\nvariant: {kind: rcdb}\n")
    assert parse_recipe(f"recipe:{own}?seed=7").seed == 7
    listed = parse_recipe("fractal-1?base=[[.5,0,0,.5,0,.1],[.5,0,0,.5,.5,%200]]&num_shards=none")
    assert listed.variant.base[1] == (0.5, 0, 0, 0.5, 0.5, 0)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("recipe:", "names no recipe"),
        ("recipe:fractal-2", "no recipe named 'fractal-2'; did you mean 'fractal-1'?"),
        ("recipe:fractal-1?num_categorys=4", "unknown key; did you mean 'num_categories'?"),
        ("recipe:fractal-1?seed", "setting=value"),
        ("recipe:fractal-1?", None),
        ("recipe:fractal-1?seed=1&seed=2", "seed is given twice"),
        ("recipe:fractal-1?seed=x", "seed: must be an integer, not 'x'"),
        ("recipe:fractal-1?metadata=yes", "metadata: must be true or false, not 'yes'"),
        ("recipe:fractal-1?variant=rcdb", "unknown key"),
        ("recipe:./missing.yaml", "cannot read missing.yaml"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(text, sentence):
    if sentence is None:
        assert parse_recipe(text) == load_recipe("fractal-1")
        return
    with pytest.raises(UsageError) as told:
        parse_recipe(text)
    assert sentence in str(told.value)
