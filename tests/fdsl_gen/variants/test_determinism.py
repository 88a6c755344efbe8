"""The promise: pixels depend on identity and (category, instance) alone."""

import json
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fdsl_gen import generate, load_recipe, open_dataset, render
from fdsl_gen.archive.sample import digest_text, sample_digest
from fdsl_gen.core import recipe_files
from fdsl_gen.dataset import verify
from fdsl_gen.executors.serial import SerialExecutor
from fdsl_gen.recipe.jobs import jobs_of, sample_of
from fdsl_gen.recipe.order import SampleId
from tests.conftest import SMALL
from tests.golden.samples import golden_recipe

NAMES = recipe_files.recipe_names(recipe_files.recipe_folder())


def tiny(name, **overrides):
    """A recipe of any kind, small enough for hundreds of images in a test."""
    fields = load_recipe(name).variant.__dataclass_fields__
    size = {"image_size": 64, "num_points": 1500, "filling_rate": 0.02}
    size |= {"search_points": 2000, "search_size": 64}
    return golden_recipe(
        name, **{key: value for key, value in size.items() if key in fields}, **overrides
    )


def some_of(name, **counts):
    """A few images of a recipe, small, in two shards, with a validation split if there can be."""
    recipe = tiny(name)
    if recipe.variant.SCENE:
        counts = {"num_images": 12, "validation_instances": 4}
    else:
        last = min(8, recipe.num_instances)
        counts = {"num_categories": 6, "num_instances": last}
        if recipe.views_per_sample > 1:
            counts["num_instances"] = recipe.views_per_sample
        elif last > 4:
            counts["validation_instances"] = 2
    return tiny(name, **counts, num_shards=2)


def some_samples(recipe) -> list[SampleId]:
    if recipe.variant.SCENE:
        return [SampleId(-1, i) for i in (0, 1, 5, 11, 12)]
    last = recipe.num_instances - 1
    instances = sorted({0, min(1, last), min(7, last), last})
    categories = range(min(3, recipe.num_categories))
    return [SampleId(c, i) for c in categories for i in instances]


def distinct(key) -> list[str]:
    """Recipes that differ in more than their number of images, which is small here anyway."""
    found = {}
    for name in NAMES:
        found.setdefault(key(name), name)
    return list(found.values())


def tars(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.glob("*.tar"))}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("num_shards", [1, 8])
def test_workers_and_shards(small, small_folder, tmp_path, workers, num_shards):
    out = tmp_path / "out"
    manifest = generate(small(num_shards=num_shards), out, workers=workers)
    assert manifest.content_digest == open_dataset(small_folder).manifest.content_digest
    assert len(tars(out)) == num_shards
    if num_shards == 8:
        assert tars(out) == tars(small_folder)
        for name in ("manifest.json", "README.md", "_info.json", "preview.png"):
            assert (out / name).read_bytes() == (small_folder / name).read_bytes()


def test_reverse_order(small, small_folder, tmp_path, monkeypatch):
    forward = SerialExecutor.run

    def backward(self, function, tasks, watch, prepare):
        return forward(self, function, tasks[::-1], watch, prepare)

    monkeypatch.setattr(SerialExecutor, "run", backward)
    generate(small(), tmp_path / "out", workers=1)
    assert tars(tmp_path / "out") == tars(small_folder)


@pytest.mark.parametrize(
    "change", [{"encoding": "rgb8"}, {"encoding": "compact"}, {"metadata": True}]
)
def test_encoding_and_metadata(small, small_folder, tmp_path, change):
    manifest = generate(small(**change), tmp_path / "out", workers=1)
    assert manifest.content_digest == open_dataset(small_folder).manifest.content_digest


FOLDERS = distinct(lambda name: some_of(name).recipe_digest)
ONE_OF_EACH_KIND = {load_recipe(name).variant.KIND: name for name in FOLDERS}.values()


@pytest.mark.slow
@pytest.mark.parametrize("name", FOLDERS)
def test_every_recipe_as_a_folder(name, tmp_path):
    """Written twice, with other workers and shards; read back; verified; interrupted and mended."""
    recipe = some_of(name)
    first = generate(recipe, tmp_path / "a", workers=1)
    other = replace(recipe, num_shards=3)
    workers = 2 if name in ONE_OF_EACH_KIND else 1
    again = generate(other, tmp_path / "b", workers=workers)
    assert again.content_digest == first.content_digest
    dataset = open_dataset(tmp_path / "a")
    splits = {split: entry.num_samples for split, entry in first.splits.items()}
    assert sum(splits.values()) == len(dataset) == recipe.num_samples
    assert ("validation" in splits) == (recipe.validation_instances > 0)
    total = sum(sample_digest(s.key, s.labels, s.image, s.mask) for s in dataset.values())
    assert digest_text(total) == first.content_digest
    assert verify.check_files(tmp_path / "a", lambda entry: None) == []
    assert verify.check_pixels(tmp_path / "a", 100, lambda count: None) == []
    for sample in dataset.values():
        assert all(0 <= label < first.num_classes for label in sample.labels)
        assert (sample.mask is not None) == (first.task in ("segmentation", "instances"))
        if sample.mask is not None:
            most = len(sample.labels) if first.task == "instances" else first.num_classes - 1
            assert sample.mask.max() <= most
    before = tars(tmp_path / "a")
    (tmp_path / "a" / next(iter(before))).unlink()
    assert generate(recipe, tmp_path / "a", workers=1) == first
    assert tars(tmp_path / "a") == before


@pytest.mark.slow
def test_a_prefix_of_the_categories_is_the_smaller_dataset(tmp_path):
    """The first 100 of 1,000 categories, sample by sample."""
    settings = {"image_size": 64, "num_points": 2000, "filling_rate": 0.03}
    generate(load_recipe("fractal-1", **settings), tmp_path / "large", workers=2)
    generate(
        load_recipe("fractal-1", num_categories=100, **settings), tmp_path / "small", workers=1
    )
    large, small = open_dataset(tmp_path / "large"), open_dataset(tmp_path / "small")
    assert (len(large), len(small)) == (1000, 100)
    assert set(small) == {f"{c:05d}_00000" for c in range(100)}
    for key in small:
        assert np.array_equal(small[key].image, large[key].image)
        assert small[key].labels == large[key].labels == (int(key[:5]),)


def digests(recipe, samples) -> dict[SampleId, int]:
    drawn = recipe.variant.render(jobs_of(recipe, samples))
    return {s: sample_of(recipe, s, one).digest() for s, one in zip(samples, drawn, strict=True)}


def drawn_for_batch(name) -> tuple:
    recipe = tiny(name)
    return recipe.identity, *some_samples(recipe)


@pytest.fixture(scope="module", params=distinct(drawn_for_batch))
def batch(request):
    recipe = tiny(request.param)
    samples = some_samples(recipe)
    return recipe, samples, digests(recipe, samples)


@given(data=st.data())
@settings(max_examples=8)
def test_pixels_do_not_depend_on_how_jobs_are_batched(batch, data):
    recipe, samples, together = batch
    order = data.draw(st.permutations(samples))
    cuts = sorted(data.draw(st.sets(st.integers(1, max(len(order) - 1, 1)), max_size=3)))
    parts = [order[a:b] for a, b in zip([0, *cuts], [*cuts, len(order)], strict=True)]
    found = dict(chain.from_iterable(digests(recipe, part).items() for part in parts if part))
    assert found == together


def test_images_are_what_the_variant_says(batch):
    recipe, samples, together = batch
    spec = recipe.variant.image
    shape = (spec.height, spec.width) + ((3,) if spec.channels == 3 else ())
    for rendered in recipe.variant.render(jobs_of(recipe, samples)):
        assert rendered.image.dtype == np.uint8
        assert rendered.image.flags.c_contiguous
        assert rendered.image.shape == shape
        if spec.levels is not None:
            assert set(np.unique(rendered.image)) <= set(spec.levels)
        json.dumps(dict(rendered.parameters), allow_nan=False)
    assert len(set(together.values())) == len(together), "two samples have the same content"


def test_render_gives_what_is_stored(small, small_folder):
    dataset = open_dataset(small_folder)
    for c in (0, 3, 39):
        assert np.array_equal(render(small(), c).image, dataset[f"{c:05d}_00000"].image)


def test_small_settings_are_the_ones_of_the_fixture(small_folder):
    recipe = open_dataset(small_folder).manifest.recipe
    assert recipe["variant"]["image_size"] == SMALL["image_size"]
