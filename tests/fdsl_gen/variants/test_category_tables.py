"""Categories go to a table and come back: the same pixels, or one sentence."""

import csv
import io
import re
from pathlib import Path
from random import Random

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from fdsl_gen import generate, load_recipe, open_dataset, render
from fdsl_gen.archive.paths import TABLE
from fdsl_gen.cli.main import cli
from fdsl_gen.core.errors import RenderError, UsageError
from fdsl_gen.dataset import verify
from fdsl_gen.dataset.store import open_for_writing
from fdsl_gen.geometry.category_table import read_table
from fdsl_gen.recipe.jobs import categories_csv
from fdsl_gen.variants import _parametric, kinds, variant_class
from fdsl_gen.variants._parametric import Parametric
from tests import PHOTO, ROOT
from tests.fdsl_gen.variants.test_determinism import ONE_OF_EACH_KIND, digests, some_samples, tiny

PARAMETRIC = [
    name for name in ONE_OF_EACH_KIND if isinstance(load_recipe(name).variant, Parametric)
]
DOC = ROOT / "docs" / "datasets.md"


def shuffled(text: str, seed: int) -> str:
    """The same table with its columns in another order, a column more, and a comment."""
    rows = list(csv.reader(io.StringIO(text)))
    order = list(range(len(rows[0])))
    Random(seed).shuffle(order)
    out = io.StringIO()
    for k, row in enumerate(rows):
        csv.writer(out).writerow(["remark" if k == 0 else "?", *(row[i] for i in order)])
    return "# from elsewhere\n\n" + out.getvalue()


def few(name):
    recipe = tiny(name)
    return tiny(name, num_categories=5 if recipe.variant.SCENE else 3)


def test_every_kind_but_those_without_parameters_has_a_table():
    parametric = {kind for kind in kinds() if issubclass(variant_class(kind, "test"), Parametric)}
    assert set(kinds()) - parametric == {"real-1"}


@pytest.mark.parametrize("name", PARAMETRIC)
def test_a_round_trip_gives_the_same_pixels(name, tmp_path):
    recipe = few(name)
    samples = some_samples(recipe)[::4]
    text = categories_csv(recipe)
    (tmp_path / "t.csv").write_text(shuffled(text, 1))
    settings = {"categories_from": str(tmp_path / "t.csv"), "seed": recipe.seed}
    again = tiny(name, num_categories=recipe.num_categories, **settings)
    assert digests(again, samples) == digests(recipe, samples)
    assert again.identity != recipe.identity
    layout = recipe.variant.TABLE
    names = [column.name for column in layout.needed]
    for given_again in csv.DictReader(io.StringIO(categories_csv(again))):
        first = next(csv.DictReader(io.StringIO(text)))
        assert list(given_again)[: len(names)] == list(first)[: len(names)] == names
    assert read_table(settings["categories_from"], layout) == again.variant.table()


def test_every_column_is_documented():
    text = DOC.read_text()
    rows = dict(re.findall(r"^\| `([a-z0-9-]+)` \| (.+) \|$", text, re.MULTILINE))
    for name in PARAMETRIC:
        variant = load_recipe(name).variant
        layout = variant.TABLE
        told = set(re.findall(r"`(\w+)`", rows[variant.KIND]))
        wanted = {column.name for column in layout.needed} - {"category"}
        assert told == wanted, variant.KIND
        assert all(column.doc for column in layout.columns)


RADIAL = "category,num_vertices,num_contours,noise_coefficient,ring_offset\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (RADIAL.replace("ring_", "rang_") + "0,5,2,1.0,0.0", "has no column ring_offset; needed"),
        ("", "has no column category, num_vertices"),
        (RADIAL, "has no rows"),
        (RADIAL + "0,5,2,1.0", "line 2 has 4 cells, which are too few"),
        (RADIAL + "0,5,2,x,0.0", "line 2, column noise_coefficient: must be a number, not 'x'"),
        (RADIAL + "0,5,2,nan,0.0", "line 2, column noise_coefficient: must be finite"),
        (RADIAL + "0,5.5,2,1,0.0", "column num_vertices: must be an integer, not '5.5'"),
        (RADIAL + "0,2,2,1,0.0", "column num_vertices: must be at least 3, not 2"),
        (RADIAL + "0,5,1000000,1,0", "column num_contours: must be at most 10000"),
        (RADIAL + "0,5,2,1,0\n2,5,2,1,0", "has 2 categories, but no category 1"),
        (RADIAL + "0,5,2,1,0\n0,5,2,1,0", "line 3: a row of category 0 stands there twice"),
        (RADIAL.replace("num_c", "num_vertices,num_c") + "0,5,5,2,1,0", "num_vertices twice"),
        (b"\xff\xfe\x00", "it is not UTF-8 text"),
        (None, "cannot read"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_a_sentence(text, words, tmp_path):
    path = tmp_path / "t.csv"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError, match=re.escape(words)) as caught:
        load_recipe("rcdb-1k", categories_from=str(path))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("rcdb-1k.variant.categories_from: ")


MAPS = "category,map,power,rule\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (MAPS + "0,0,2,107\n0,2,2,107", "column map of category 0 must count 0, 1"),
        (MAPS + "0,0,2,107\n0,0,2,107", "map 0 of category 0 stands there twice"),
        (MAPS + "0,0,2,1\n0,1,2,1\n0,2,2,1", "category 0 has 3 rows, at most 2 are possible"),
    ],
)
def test_parts_of_a_category_are_counted(text, words, tmp_path):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UsageError, match=re.escape(words)):
        load_recipe("mandelbulb-1k", categories_from=str(tmp_path / "t.csv"))


def test_systems_of_too_few_maps_to_vary_are_refused_when_read(tmp_path):
    path = table(tmp_path, "fractal-color", num_categories=2)
    lines = path.read_text().splitlines()
    one_map = next(line for line in lines if line.startswith("1,"))
    path.write_text("\n".join([line for line in lines if not line.startswith("1,")] + [one_map]))
    with pytest.raises(UsageError, match="category 1 has 1 map, for which sigma_offset_min must"):
        load_recipe("fractal-color", categories_from=str(path), num_categories=2)
    load_recipe("fractal-color", categories_from=str(path), num_categories=2, sigma_offset_min=4.0)


def table(tmp_path, name="rcdb-1k", **settings) -> Path:
    path = tmp_path / "categories.csv"
    path.write_text(categories_csv(load_recipe(name, **settings)))
    return path


def test_categories_beyond_the_table(tmp_path):
    path = table(tmp_path, num_categories=2)
    recipe = load_recipe("rcdb-1k", image_size=32, categories_from=str(path))
    render(recipe, 1)
    with pytest.raises(RenderError, match=r"has 2 categories, no number 2; give fewer"):
        render(recipe, 2)


@pytest.mark.parametrize("name", ["rcdb-1k", "fractaldb-1k"])
def test_a_dataset_keeps_its_table(name, tmp_path):
    counts = {"num_categories": 4, "num_instances": 2, "num_shards": 2}
    path = tmp_path / "t.csv"
    path.write_text(categories_csv(tiny(name, **counts)))
    recipe = tiny(name, **counts, categories_from=str(path))
    manifest = generate(recipe, tmp_path / "set", workers=1)
    sha256 = recipe.variant.table_sha256
    assert str(path) not in (tmp_path / "set/__meta__/recipe.json").read_text()
    path.unlink()
    read_table.cache_clear()
    for block in (tmp_path / "set/__meta__/categories").glob("block-*"):
        block.unlink()
    assert (tmp_path / "set" / TABLE).exists()
    assert verify.check_pixels(tmp_path / "set", 8, lambda count: None) == []
    next((tmp_path / "set").glob("*.tar")).unlink()
    begun = open_for_writing(tmp_path / "set")
    assert begun.recipe.variant.categories_from == str(tmp_path / "set" / TABLE)
    same = tiny(name, **counts, categories_sha256=sha256)
    assert generate(same, tmp_path / "set", workers=1) == manifest
    assert len(open_dataset(tmp_path / "set")) == 8


def test_a_damaged_copy_of_the_table(tmp_path):
    path = table(tmp_path, num_categories=2)
    recipe = tiny("rcdb-1k", num_categories=2, num_instances=1, categories_from=str(path))
    generate(recipe, tmp_path / "set", workers=1)
    stored = tmp_path / "set" / TABLE
    stored.write_text(stored.read_text().replace("\n0,", "\n0,1"))
    read_table.cache_clear()
    _parametric._digest_of.cache_clear()
    with pytest.raises(UsageError, match="is not what this recipe was made with"):
        verify.check_pixels(tmp_path / "set", 2, lambda count: None)


def command(*args):
    return CliRunner().invoke(cli, [str(arg) for arg in args])


def test_the_command_writes_a_table(tmp_path):
    out = tmp_path / "t.csv"
    done = command("categories", "visualatom-1k", "--num-categories=3", f"--out={out}")
    assert done.output == f"{out}\n"
    assert len(out.read_text().splitlines()) == 4
    assert command("categories", "visualatom-1k", "--num-categories=3").output == out.read_text()
    shown = command("show", "visualatom-1k", f"--categories-from={out}")
    assert "categories_sha256: " in shown.output


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["real-1", "--source=SOURCE"], "the categories of real-1 have no parameters"),
        (["rcdb-1k", "--out=DIR"], "are drawn directly, not searched for; give --out FILE.csv"),
        (["rcdb-1k", "--out=a.csv", "--table=b.csv"], "say the same; give one of them"),
        (["segrcdb", "--picture=a.png"], "--picture shows a category in an image"),
        (["fractal-1", "--base=[[0.5,0,0,0.5,0,0]]", "--categories-from=BASE"], "not both"),
    ],
)
def test_what_the_command_refuses(args, words, tmp_path):
    base = tmp_path / "base.csv"
    base.write_text("map,a,b,c,d,e,f\n0,.5,0,0,.5,0,0\n")
    photo = str(PHOTO)
    places = {"SOURCE": photo, "DIR": str(tmp_path / "set"), "BASE": str(base)}
    for name, path in places.items():
        args = [arg.replace(f"={name}", f"={path}") for arg in args]
    refused = command("categories", *args)
    assert words in str(refused.exception)
    assert refused.exception.exit_code == 2


@given(st.lists(st.floats(1e-9, 1e3), min_size=1, max_size=12))
def test_probabilities_of_a_table_add_up_to_the_same_sums(weights):
    total = sum(weights)
    sums, reached = [], 0.0
    for weight in weights:
        reached += weight / total
        sums.append(reached)
    again, reached = [], 0.0
    for part in _parametric._parts(sums):
        reached += part
        again.append(reached)
    assert np.array_equal(again, sums)
