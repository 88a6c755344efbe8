"""Reading recipes: what is accepted, what is refused and in which words, what digests depend on."""

import contextlib
import json
import typing
from dataclasses import fields, replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fdsl_gen.core import recipe_files, settings
from fdsl_gen.core.errors import UsageError
from fdsl_gen.recipe.order import shards_of
from fdsl_gen.recipe.recipe import load_recipe, recipe_from_dict
from fdsl_gen.variants import kinds
from fdsl_gen.variants.fractaldb import FractalDb
from fdsl_gen.variants.real_1 import Real1

FOLDER = recipe_files.recipe_folder()
NAMES = recipe_files.recipe_names(FOLDER)
PLAIN = {
    "name": "x",
    "variant": {"kind": "fractal-1"},
    "num_categories": 10,
}


@pytest.mark.parametrize("name", NAMES)
def test_published_recipes_are_whole(name):
    path = recipe_files.find_recipe(name, FOLDER)
    recipe = load_recipe(name)
    data = settings.load_yaml(path)
    assert recipe.name == name
    assert recipe_files.headline(path), "the first line must be '# name: one line'"
    assert path.read_text().startswith(f"# {name}: ")
    assert f"fdsl-gen {name} " in path.read_text(), "the recipe must show its command"
    assert {"schema", "name", "variant", "num_categories", "num_shards", "license"} <= set(data)
    size = recipe.num_train_samples * recipe.variant.nominal_bytes(recipe.num_categories)
    assert size / recipe.num_train_shards <= 128e6
    assert recipe.num_train_shards % 8 == 0 or recipe.num_train_shards == recipe.num_train_samples


@pytest.mark.parametrize("name", NAMES)
def test_recipe_survives_its_own_json_and_yaml(name):
    recipe = load_recipe(name)
    for data in (
        json.loads(settings.canonical_json(recipe.to_dict())),
        yaml.safe_load(yaml.safe_dump(recipe.to_dict(defaults=True))),
    ):
        again = recipe_from_dict(data, "again")
        assert again == recipe
        assert again.recipe_digest == recipe.recipe_digest


def test_identity_is_pinned():
    """Changing these digests orphans datasets: raise REVISION and tell it in the CHANGELOG."""
    assert load_recipe("fractal-1").identity[:16] == "a95cbeb660c83a0e"


def test_identity_knows_nothing_of_counts_and_files():
    base = load_recipe("fractal-1")
    for change in (
        {"num_categories": 7},
        {"num_shards": 3},
        {"encoding": "compact"},
        {"metadata": True},
        {"samples_per_shard": 10},
    ):
        other = load_recipe("fractal-1", **change)
        assert other.identity == base.identity
        assert other.recipe_digest != base.recipe_digest
    assert load_recipe("fractal-1-21k").identity == base.identity


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"delta": 0.2}, {"image_size": 256}, {"draw": "fill"}, {"num_points": 50_000}],
)
def test_identity_knows_settings_and_seed(change):
    assert load_recipe("fractal-1", **change).identity != load_recipe("fractal-1").identity


def candidates(value, annotation) -> list:
    """Other values of a setting, some of which may not be valid."""
    choices = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return [choice for choice in choices if choice != value]
    if annotation is bool:
        return [not value]
    if annotation in (int, float):
        steps = (value * 1.1 + 1, value * 0.9 - 1, value * 0.9, value + 0.1)
        return [annotation(step) for step in steps if annotation(step) != value]
    if value is None and str in choices:
        return ["0" * 64]
    if value is None and int in choices:
        return [1]
    return [((0.5, 0.1, 0.2, 0.4, 0.3, 0.1), (0.1, 0.5, 0.4, 0.2, 0.1, 0.3))]


def changed_setting(variant, field, annotation):
    """Valid settings that differ from ``variant`` in one field alone."""
    for value in candidates(getattr(variant, field.name), annotation):
        with contextlib.suppress(UsageError):
            value = settings.convert(value, annotation, field.name, field.metadata["bounds"])
            return replace(variant, **{field.name: value})
    raise AssertionError(f"no other value of {field.name} was found")


@pytest.mark.parametrize("kind", kinds())
def test_every_setting_is_in_the_identity(kind):
    names = [name for name in NAMES if kind == load_recipe(name).variant.KIND]
    recipe = load_recipe(names[0])
    annotations = typing.get_type_hints(type(recipe.variant))
    left_out = set()
    for field in fields(recipe.variant):
        if field.metadata["identity"]:
            other = changed_setting(recipe.variant, field, annotations[field.name])
            encoding = "rgb8" if other.image.channels == 3 else "gray8"
            small = {"num_instances": 1, "num_shards": None, "encoding": encoding}
            changed = replace(recipe, variant=other, **small)
            assert changed.identity != recipe.identity, field.name
        else:
            left_out.add(field.name)
    assert left_out <= {"source", "categories_from"}, "their digests are settings, too"


def test_a_default_written_out_changes_nothing():
    assert (
        load_recipe("fractal-1", delta=0.1).recipe_digest == load_recipe("fractal-1").recipe_digest
    )
    assert load_recipe("fractal-1", sigma_factor=3.5, image_size=512.0) == load_recipe("fractal-1")


@pytest.mark.parametrize(
    ("change", "shards"),
    [
        ({}, 8),
        ({"num_categories": 3}, 3),
        ({"num_categories": 9}, 8),
        ({"num_categories": 100_000}, 16),
        ({"samples_per_shard": 100}, 10),
        ({"samples_per_shard": 300}, 4),
        ({"num_categories": 50, "num_shards": 5}, 5),
    ],
)
def test_shard_counts(change, shards):
    assert load_recipe("fractal-1", **change).num_train_shards == shards


@given(st.integers(1, 10**7), st.integers(1, 10**7))
def test_automatic_shard_counts(samples, size):
    from fdsl_gen.recipe.recipe import _auto_shards

    count = _auto_shards(samples, size)
    assert 1 <= count <= min(8192, samples)
    assert count % 8 == 0 or count == samples
    assert count >= min(8, samples)
    if count < min(8192, samples):
        assert samples * size / count <= 128e6


def test_a_shard_count_that_was_not_given_follows_the_number_of_samples():
    few = load_recipe("rcdb-1k", num_categories=10)
    assert len(shards_of(few)) == few.num_train_shards == 8
    many = replace(few, num_categories=1000)
    assert len(shards_of(many)) == many.num_train_shards == 288
    assert many == load_recipe("rcdb-1k", num_categories=1000)
    assert many.recipe_digest == load_recipe("rcdb-1k").recipe_digest
    assert many.to_dict()["num_shards"] == 288
    assert replace(few, num_shards=3, num_categories=1000).num_train_shards == 3


def test_settings_are_made_without_reading_files():
    """A file is read when its content is asked for, so settings can be made anywhere."""
    assert Real1(source="nowhere.png").source_sha256 is None
    with pytest.raises(UsageError, match="source: cannot read the image nowhere"):
        _ = Real1(source="nowhere.png").source_image_sha256
    assert FractalDb(categories_from="nowhere").categories_sha256 is None
    with pytest.raises(UsageError, match="categories_from: cannot read nowhere"):
        _ = FractalDb(categories_from="nowhere").table_sha256


@pytest.mark.parametrize(
    ("name", "change"),
    [("real-1", {"source": "no.png"}), ("fractaldb-1k", {"categories_from": "no.npz"})],
)
def test_files_are_read_when_a_recipe_is_loaded(name, change):
    ((setting, path),) = change.items()
    with pytest.raises(UsageError, match=rf"{name}.variant.{setting}: cannot read .*{path}"):
        load_recipe(name, **change)


def test_names_may_have_underscores_and_paths_are_paths(tmp_path):
    assert load_recipe("fractal_1") == load_recipe("fractal-1")
    path = tmp_path / "mine.yaml"
    path.write_text(recipe_files.find_recipe("fractal-1", FOLDER).read_text())
    assert load_recipe(path) == load_recipe("fractal-1")


BAD = [
    ({"nmae": "x"}, "x.nmae: unknown key; did you mean 'name'?"),
    (
        {"variant": {"kind": "fractal-1", "dleta": 0.1}},
        "x.variant.dleta: unknown key; did you mean",
    ),
    ({"variant": {"kind": "fractl"}}, "x.variant.kind: unknown kind 'fractl'; did you mean"),
    ({"variant": {}}, "x.variant.kind: is missing"),
    ({"variant": "fractal-1"}, "x.variant: must be a mapping"),
    ({"variant": None}, "x.variant: must be a mapping"),
    ({"num_categories": None}, "x.num_categories: must be an integer, not None"),
    ({"num_categories": 0}, "x.num_categories: must be at least 1, not 0"),
    ({"num_categories": -5}, "x.num_categories: must be at least 1, not -5"),
    ({"num_categories": "many"}, "x.num_categories: must be an integer, not 'many'"),
    ({"num_categories": 1.5}, "x.num_categories: must be an integer, not 1.5"),
    ({"num_categories": True}, "x.num_categories: must be an integer, not True"),
    ({"num_categories": 10**15}, "x.num_categories: must be at most"),
    ({"num_categories": float("nan")}, "x.num_categories: must be finite"),
    ({"seed": -1}, "x.seed: must be at least 0, not -1"),
    ({"seed": 2**63}, "x.seed: must be at most"),
    ({"metadata": "yes"}, "x.metadata: must be true or false, not 'yes'"),
    ({"encoding": "jpeg"}, "x.encoding: must be one of gray8, rgb8, compact, not 'jpeg'"),
    ({"name": "a/b"}, "x.name: must be letters, digits"),
    ({"name": 5}, "x.name: must be a text, not 5"),
    ({"num_shards": 11}, "x.num_shards: must be at most the number of samples (10), not 11"),
    ({"num_instances": 2}, "x.num_instances: a category of fractal-1 has 1"),
    ({"validation_instances": 1}, "x.validation_instances: must be less than the 1 there are"),
    ({"num_images": 5}, "x.num_images: fractal-1 has no number of images"),
    ({"schema": 99}, "x.schema: 99 is newer than this version of fdsl knows"),
    ({"variant": {"kind": "fractal-1", "delta": float("inf")}}, "x.variant.delta: must be finite"),
    ({"variant": {"kind": "fractal-1", "delta": "0.1"}}, "delta: must be a number, not '0.1'"),
    ({"variant": {"kind": "fractal-1", "sigma_factor": 7}}, "between 0 and 6, not 6.9 to 7.1"),
    ({"variant": {"kind": "fractal-1", "base": [[1, 2]]}}, "base: must be a list of maps of six"),
    ({"variant": {"kind": "fractal-1", "base": [[1, 1, 1, 1, 0, 0]]}}, "determinants of all maps"),
    ({"variant": {"kind": "fractal-1", "base": 3}}, "x.variant.base: must be a list, not 3"),
    (
        {"variant": {"kind": "fractal-1", "base": [["a"] * 6]}},
        "x.variant.base[0][0]: must be a num",
    ),
]


@pytest.mark.parametrize(("change", "words"), BAD)
def test_bad_recipes_are_refused_in_one_sentence(change, words):
    with pytest.raises(UsageError) as caught:
        recipe_from_dict(PLAIN | change, "x")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1", "line 1"),
        ("name: a\nname: b", "the key 'name' stands twice"),
        ("- 1", "must be a mapping of settings"),
        ("", "must be a mapping of settings"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("\x00", "special characters are not allowed"),
    ],
)
def test_files_that_are_not_recipes(tmp_path, text, words):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=words):
        load_recipe(path)


def test_missing_files_and_names():
    with pytest.raises(UsageError, match="no recipe named 'fractal-l'; did you mean 'fractal-1'"):
        load_recipe("fractal-l")
    with pytest.raises(UsageError, match=r"cannot read .*nowhere.yaml: No such file"):
        load_recipe(Path("/tmp/nowhere.yaml"))


def test_overrides_are_checked_like_the_file():
    with pytest.raises(UsageError, match=r"fractal-1.detla: unknown key; did you mean 'delta'"):
        load_recipe("fractal-1", detla=1)
    with pytest.raises(UsageError, match="num_shards or samples_per_shard, not both"):
        load_recipe("fractal-1", num_shards=3, samples_per_shard=5)


def test_yaml_numbers_with_exponents_are_numbers():
    assert settings.parse_yaml("[1e-3, 1E5, .5e1, 1.0e-2, -2e0]") == [1e-3, 1e5, 5.0, 1e-2, -2.0]


@pytest.mark.parametrize("name", NAMES)
def test_the_training_recipe_exists(name):
    wanted = load_recipe(name).train_recipe
    if wanted is not None:
        assert recipe_files.find_recipe(wanted, FOLDER / "train").exists()
