"""The package used from a notebook: recipes, images and datasets show themselves."""

import json

import numpy as np
import pytest
import yaml

from fdsl_gen import generate, load_recipe, open_dataset, render
from fdsl_gen.archive import png
from fdsl_gen.core.errors import Mismatch, UsageError

TINY = {"num_categories": 3, "image_size": 32, "num_points": 300, "filling_rate": 0.01}


def test_a_recipe_prints_as_yaml_that_can_be_run(tmp_path):
    recipe = load_recipe("fractal-1", delta=0.2, num_categories=3)
    shown = yaml.safe_load(repr(recipe))
    assert shown["variant"]["delta"] == 0.2 and shown["num_categories"] == 3
    assert "image_size" not in shown["variant"]  # as by default
    (tmp_path / "mine.yaml").write_text(repr(recipe))
    assert load_recipe(tmp_path / "mine.yaml").recipe_digest == recipe.recipe_digest


@pytest.mark.parametrize("name", ["fractal-1", "fractal-color"])
def test_images_show_themselves(name):
    drawn = render(load_recipe(name, image_size=32), category=1)
    assert np.array_equal(png.decode(drawn._repr_png_()), drawn.image)


def test_render_takes_a_name():
    assert np.array_equal(
        render("fractal-1", category=1).image, render(load_recipe("fractal-1"), 1).image
    )
    with pytest.raises(UsageError, match="fractal-1 is no scene set; give a category"):
        render("fractal-1")
    with pytest.raises(UsageError, match="multi-fractal is a scene set; give an instance, and no"):
        render("multi-fractal", category=1)


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    out = tmp_path_factory.mktemp("described") / "set"
    recipe = load_recipe("fractal-1", **TINY, num_shards=1, metadata=True)
    generate(recipe, out, workers=1)
    return recipe, open_dataset(out)


def test_a_dataset_says_what_it_is(described):
    _, made = described
    assert repr(made) == f"Dataset('{made.store.url}': fractal-1, 3 train; 32x32, 3 classes)"
    key = "00001_00000"
    assert np.array_equal(png.decode(made[key]._repr_png_()), made[key].image)


def test_a_dataset_knows_its_recipe_and_counts_its_samples(described):
    recipe, made = described
    assert made.recipe.recipe_digest == recipe.recipe_digest
    keys = list(made)
    assert [made[i].key for i in range(len(made))] == keys
    assert made[-1].key == keys[-1] and made[np.int64(1)].key == keys[1]
    for number in (len(made), -len(made) - 1):
        with pytest.raises(IndexError, match="has 3 samples, not one of number"):
            made[number]


@pytest.mark.train
@pytest.mark.parametrize("workers", [0, 1])
def test_a_dataset_works_in_a_data_loader(described, workers):
    from torch.utils.data import DataLoader

    loader = DataLoader(described[1], 2, collate_fn=list, num_workers=workers)
    assert [[s.key for s in batch] for batch in loader] == [
        [*described[1]][:2],
        [*described[1]][2:],
    ]


def test_parameters_are_columns(described):
    recipe, made = described
    table = made.parameters()
    assert table["key"] == list(made)
    assert {len(column) for column in table.values()} == {3}
    at = table["key"].index("00002_00000")
    drawn = render(recipe, category=2)
    assert {name: table[name][at] for name in drawn.parameters} == dict(drawn.parameters)


def test_parameters_that_are_not_there(small_folder, described, monkeypatch):
    with pytest.raises(UsageError, match="render it with --metadata"):
        open_dataset(small_folder).parameters()
    made = described[1]
    (shard,) = made.manifest.splits["train"].shards
    for content in (b"[]", b"{", json.dumps({"a": float("nan")}).encode()):
        found = (shard, {"json": content})
        monkeypatch.setattr(made, "_members", lambda *_, found=found: found)
        with pytest.raises(Mismatch, match=r"fractal-1-train-000000.tar: .*parameters of"):
            made.parameters()
