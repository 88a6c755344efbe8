"""FractalDB equals the slow twin and, where they are at hand, published categories and images."""

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from fdsl_gen import load_recipe, render
from fdsl_gen.build.category_search import find_categories
from fdsl_gen.core.errors import RenderError, UsageError
from fdsl_gen.core.keys import Key
from fdsl_gen.executors import Silent
from fdsl_gen.executors.local import LocalExecutor
from fdsl_gen.executors.serial import SerialExecutor
from fdsl_gen.recipe.jobs import Categories, jobs_of
from fdsl_gen.recipe.order import SampleId, samples_of, shards_of
from fdsl_gen.variants import _planar
from tests.fdsl_gen.variants import naive

SIDE, POINTS = 80, 1200
SMALL = {
    "image_size": SIDE,
    "num_points": POINTS,
    "search_points": 3000,
    "search_size": 64,
    "filling_rate": 0.1,
}
SHARED = np.random.RandomState(100).random_sample(POINTS)

TABLE = [("a", 0.2), ("a", 0.6), ("a", 1.0), ("a", 1.4), ("a", 1.8)]
TABLE += [(letter, factor) for letter in "bcdef" for factor in (0.2, 0.6, 1.4, 1.8)]


def small(**overrides):
    return load_recipe("fractaldb-1k", **(SMALL | overrides))


def twin(recipe, category: int, instance: int) -> np.ndarray:
    """The image from the category's system alone, by the definition."""
    found = Categories(recipe)[category]
    redraw, rest = divmod(instance, 100)
    weight, flip = divmod(rest, 4)
    letter, factor = TABLE[weight]
    maps = found.affine.tolist()
    for row in maps:
        row["abcdef".index(letter)] *= factor
    probabilities = naive.determinant_probabilities(found.affine.tolist())
    key = Key(recipe.seed, "patch", (category, weight, redraw))
    masks = [naive.patch_mask(key, t) for t in range(POINTS)]
    image = naive.draw_fractal(
        maps, probabilities, SHARED, SIDE, recipe.variant.draw, masks, recipe.variant.color
    )
    return {0: image, 1: image[::-1], 2: image[:, ::-1], 3: image[::-1, ::-1]}[flip]


@pytest.mark.slow
@pytest.mark.parametrize("color", [False, True])
@pytest.mark.parametrize("draw", ["patch", "fill", "point"])
def test_all_weights_equal_the_twin(draw, color):
    recipe = small(draw=draw, color=color, encoding="rgb8" if color else "gray8", num_instances=100)
    samples = [SampleId(c, i) for c in (0, 5) for i in range(100)][:: 4 if color else 1]
    drawn = recipe.variant.render(jobs_of(recipe, samples))
    for (c, i), found in zip(samples, drawn, strict=True):
        assert np.array_equal(found.image, twin(recipe, c, i)), (c, i)


def test_redraws_change_the_patches_only():
    recipe = small()
    for instance in (0, 2, 41):
        first = render(recipe, 3, instance).image
        second = render(recipe, 3, instance + 100).image
        assert np.array_equal(second, twin(recipe, 3, instance + 100))
        assert not np.array_equal(first, second)


def test_weights_stand_in_the_released_order():
    assert small().variant.weights().rows == tuple(TABLE)
    identity = small(first_weight="identity").variant.weights().rows
    assert list(identity) == [("a", 1.0), *[row for row in TABLE if row != ("a", 1.0)]]


def test_work_groups_are_weights():
    group_of = small().variant.work_group
    assert [group_of(i) for i in (0, 3, 4, 99, 100, 104, 999)] == [0, 0, 1, 24, 0, 1, 24]


def test_without_patches_there_are_a_hundred_instances():
    with pytest.raises(UsageError, match="a category of fractaldb has 100"):
        small(draw="fill")
    assert small(draw="patch", num_instances=5000).num_instances == 5000


@pytest.mark.slow
def test_candidates_are_what_the_definition_says():
    recipe = small()
    for c in range(6):
        found = Categories(recipe)[c]
        for number in range(found.num_candidates):
            count = candidate_pixels(recipe, c, number)
            accepted = count is not None and count / 64**2 >= 0.1
            assert accepted == (number == found.num_candidates - 1)
        assert found.quality == count / 64**2
        assert 2 <= len(found.affine) <= 7
        assert np.abs(found.affine).max() <= 1


def candidate_pixels(recipe, c: int, number: int) -> int | None:
    """Lit pixels of a candidate drawn as points by the twin; None if it diverges."""
    from fdsl_gen.core.keys import Stream

    stream = Stream(Key(recipe.seed, "candidate", (c, number)))
    num_maps = stream.integer(2, 7)
    maps = [[stream.uniform(-1, 1) for _ in range(6)] for _ in range(num_maps)]
    own = Key(recipe.seed, "candidate sequence", (c, number))
    uniforms = [(naive.word(own, t) >> 11) * 2.0**-53 for t in range(2999)] + [0.0]
    probabilities = naive.determinant_probabilities(maps)
    points = naive.trajectory(maps, probabilities, uniforms)
    if not np.isfinite(points).all():
        return None
    image = naive.draw_fractal(maps, probabilities, uniforms, 64, "point")
    return int(np.count_nonzero(image))


@pytest.mark.slow
def test_categories_do_not_depend_on_how_many_are_asked_for(tmp_path):
    few, many = small(num_categories=10), small(num_categories=250)
    for recipe, executor, name in (
        (few, SerialExecutor(), "few"),
        (many, LocalExecutor(2), "many"),
    ):
        assert find_categories(recipe, tmp_path / name, executor, Silent()) == []
    stored = Categories(few, tmp_path / "few"), Categories(many, tmp_path / "many")
    for c in (9, 3, 0):
        computed = Categories(few)[c]
        for one in stored:
            assert np.array_equal(one[c].affine, computed.affine)
            assert np.array_equal(one[c].cumulative, computed.cumulative)
            assert (one[c].num_candidates, one[c].quality) == (
                computed.num_candidates,
                computed.quality,
            )


def test_a_damaged_or_missing_cache_changes_nothing(tmp_path):
    recipe = small(num_categories=20)
    find_categories(recipe, tmp_path, SerialExecutor(), Silent())
    (block,) = tmp_path.glob("block-*.npz")
    expected = Categories(recipe, tmp_path)[7].affine
    block.write_bytes(block.read_bytes()[:100])
    assert np.array_equal(Categories(recipe, tmp_path)[7].affine, expected)
    block.unlink()
    assert np.array_equal(Categories(recipe, tmp_path)[7].affine, expected)


def test_no_category_crowds_a_published_shard():
    recipe = load_recipe("fractaldb-1k")
    shard = shards_of(recipe)[7]
    samples = samples_of(recipe, shard)
    groups = {(c, recipe.variant.work_group(i)) for c, i in samples}
    assert len(samples) in (7812, 7813)
    per_category = np.bincount([c for c, _ in groups])
    assert per_category.max() <= -(-len(groups) // 1000) + 1


def test_impossible_searches_are_one_sentence(monkeypatch):
    from fdsl_gen.variants import fractaldb

    monkeypatch.setattr(fractaldb, "MAX_CANDIDATES", 20)
    with pytest.raises(RenderError, match=r"category 0: none of 20 systems fills 0\.6"):
        render(small(filling_rate=0.6), 0)
    with pytest.raises(UsageError, match=r"num_maps_min: must be at most num_maps_max \(7\)"):
        small(num_maps_min=8)


def write_csv(folder: Path, tables) -> Path:
    folder.mkdir()
    for k, table in enumerate(tables):
        np.savetxt(folder / f"{k:05d}.csv", table, delimiter=",", fmt="%.17g")
    return folder


def test_every_weight_follows_a_sequence_of_its_own(monkeypatch):
    used = []
    fresh = _planar.fresh_sequence

    def recorded(num_points, cumulative_N, words):
        used.append(words.tolist())
        return fresh(num_points, cumulative_N, words)

    monkeypatch.setattr(_planar, "fresh_sequence", recorded)
    made = small(map_sequence="per_instance", num_categories=2)
    for category in range(2):
        for weight in range(3):
            render(made, category, 4 * weight)
    assert len(used) == len({tuple(words) for words in used}) == 6


def test_a_category_does_not_fill_less_than_the_rate():
    """Not by half a pixel: the rate lies between two numbers of pixels."""
    made = small()
    key = Key(made.seed, "category", (0,))
    found = made.variant.category(0, key)
    area = made.variant.search_size**2
    between = replace(made.variant, filling_rate=(round(found.quality * area) + 0.5) / area)
    assert between.category(0, key).quality >= between.filling_rate > found.quality


def test_categories_from_files(tmp_path):
    system = [[0.5, 0.1, -0.2, 0.4, 0.3, 0.1, 0.7], [0.3, 0.2, 0.4, 0.6, -0.2, 0.4, 0.3]]
    folder = write_csv(tmp_path / "csv", [np.array(system)] * 3)
    maps, offsets = np.array(system * 3), np.array([0, 2, 4, 6])
    np.savez(tmp_path / "all.npz", maps=maps, offsets=offsets)
    by_csv = small(categories_from=str(folder), num_categories=3)
    by_npz = small(categories_from=str(tmp_path / "all.npz"), num_categories=3)
    assert by_csv.identity == by_npz.identity != small().identity
    found = render(by_csv, 2, 8)
    assert np.array_equal(found.image, render(by_npz, 2, 8).image)
    image = naive.draw_fractal(
        [row[:6] for row in system],
        [0.7, 0.3],
        SHARED,
        SIDE,
        "patch",
        [naive.patch_mask(Key(0, "patch", (2, 2, 0)), t) for t in range(POINTS)],
    )
    assert np.array_equal(found.image, image)
    with pytest.raises(RenderError, match="has 3 categories, no number 3"):
        render(by_csv, 3)
    likelier = np.array(system)
    likelier[:, 6] = 0.6, 0.4
    other = write_csv(tmp_path / "other", [likelier] * 3)
    assert small(categories_from=str(other), num_categories=3).identity != by_csv.identity


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "cannot read"),
        (lambda path: path.mkdir(), "there are no CSV files"),
        (lambda path: path.write_text("x"), "has no column category, map, a"),
        (lambda path: write_csv(path, [np.ones((2, 3))]), "is not rows of seven numbers"),
        (lambda path: write_csv(path, [np.full((2, 7), np.nan)]), "is not rows of seven numbers"),
    ],
)
def test_bad_category_files_are_one_sentence(tmp_path, make, words):
    make(tmp_path / "it")
    with pytest.raises(UsageError, match=words):
        small(categories_from=str(tmp_path / "it"))


def test_other_categories_than_the_recipe_was_made_with(tmp_path):
    folder = write_csv(tmp_path / "csv", [np.ones((2, 7)) / 2])
    with pytest.raises(UsageError, match="is not what this recipe was made with"):
        small(categories_from=str(folder), categories_sha256="0" * 64)


def test_replacing_the_file_replaces_its_digest(tmp_path):
    one, other = (str(write_csv(tmp_path / f"csv {k}", [np.full((2, 7), k / 4)])) for k in (1, 2))
    variant = small(categories_from=one).variant
    assert replace(variant, categories_from=other) == small(categories_from=other).variant
    assert replace(variant, categories_from=other).table_sha256 != variant.table_sha256
    assert replace(variant, categories_from=None).table_sha256 is None


def test_palette():
    table = _planar.palette("rgb")
    assert table.shape == (129, 3)
    assert table[0].tolist() == [0, 0, 0]
    assert table[1].tolist() == [191, 47, 47]  # hue 0 is red
    assert np.array_equal(_planar.palette("released"), table[:, ::-1])


RELEASED = json.loads((Path(__file__).parent / "released_fractaldb.json").read_text())


def released(tmp_path, **settings):
    """Published categories at full size, and their rows; category k is the k-th of them."""
    tables = [np.array(rows) for rows in RELEASED["categories"].values()]
    folder = write_csv(tmp_path / "csv", tables)
    settings = {"num_instances": 100, "num_categories": len(tables)} | settings
    return load_recipe("fractaldb-1k", categories_from=str(folder), **settings), tables


def test_released_images(tmp_path):
    """The published categories drawn in fill mode equal images of the released code."""
    recipe, _ = released(tmp_path, draw="fill")
    numbers = list(RELEASED["categories"])
    assert len(RELEASED["images"]) == 6
    for name, expected in RELEASED["images"].items():
        category, weight = name.split()
        found = render(recipe, numbers.index(category), 4 * int(weight)).image // 127
        assert sha256(found.tobytes()).hexdigest() == expected


@pytest.mark.slow
def test_published_categories_at_full_size(tmp_path):
    """Published categories at 362 pixels and 200,000 points equal the twin."""
    recipe, tables = released(tmp_path, draw="point")
    uniforms = np.random.RandomState(100).random_sample(200_000)
    for c, weight in ((0, 4), (1, 20)):
        letter, factor = TABLE[weight]
        system = tables[c][:, :6].copy()
        system[:, "abcdef".index(letter)] *= factor
        probabilities = tables[c][:, 6].tolist()
        image = naive.draw_fractal(system.tolist(), probabilities, uniforms, 362, "point")
        assert np.array_equal(render(recipe, c, 4 * weight).image, image)


def test_every_weight_may_have_a_map_sequence_of_its_own():
    recipe = small(map_sequence="per_instance")
    category = Categories(recipe)[3]
    sequences = [recipe.variant._sequence(category, weight) for weight in range(25)]
    assert len({sequence.tobytes() for sequence in sequences}) == 25
    other = recipe.variant._sequence(Categories(recipe)[4], 0)
    assert not np.array_equal(sequences[0], other)


def test_probabilities_of_a_file_belong_to_the_identity(tmp_path):
    system = np.full((2, 7), 0.5)
    other = system.copy()
    other[:, 6] = 0.3, 0.7
    one, two = (
        small(categories_from=str(write_csv(tmp_path / name, [table])))
        for name, table in (("one", system), ("two", other))
    )
    assert one.identity != two.identity


def test_a_shard_draws_every_redraw_once(tmp_path, monkeypatch):
    """Neighbors in a shard are shuffled; they must be drawn in an order that shares the work."""
    from fdsl_gen import generate
    from fdsl_gen.variants.fractaldb import FractalDb

    drawn = []
    draw = FractalDb._draw

    def counted(self, job, redraw, weight, pixel_T):
        drawn.append((job.category.index, weight, redraw))
        return draw(self, job, redraw, weight, pixel_T)

    monkeypatch.setattr(FractalDb, "_draw", counted)
    recipe = small(num_categories=3, num_instances=300, num_shards=1, filling_rate=0.05)
    generate(recipe, tmp_path / "set", workers=1)
    of_the_shard = drawn[1 : 1 + 3 * 25 * 3]  # the first image is drawn once before the shard
    assert len(set(of_the_shard)) == len(of_the_shard) == 3 * 25 * 3
