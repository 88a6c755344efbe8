"""Reports: figures of images, of datasets, distances, the page."""

import json
import math
import re
import tarfile
from html.parser import HTMLParser

import numpy as np
import pytest
from click.testing import CliRunner

from fdsl_gen import generate, load_recipe, open_dataset
from fdsl_gen.archive.label_types.instances import annotations
from fdsl_gen.cli.main import cli
from fdsl_gen.dataset.report import collect, compare, page
from fdsl_gen.dataset.report.measure import MEASURES, measure, near_equal, spectrum_slope, to_gray
from fdsl_gen.variants import kinds
from tests.fdsl_gen.variants.test_determinism import some_of
from tests.golden.samples import NAMES

SETS = {  # one of each label type, in gray and in color
    "linedb-16": {"num_categories": 3, "num_instances": 8, "image_size": 32, "metadata": True},
    "segrcdb": {"num_images": 6, "image_size": 32},
    "multi-fractal": {"num_images": 6, "num_categories": 4, "image_size": 32, "num_points": 500},
}


def made(folder, name, **overrides):
    recipe = load_recipe(name, **(SETS.get(name, {}) | overrides))
    generate(recipe, folder, workers=1)
    return folder


def reported(folder, count=2000):
    return collect.report_of(open_dataset(folder), count, lambda samples: None)


def test_figures_of_a_square():
    image = np.zeros((40, 80), np.uint8)
    image[10:30, 20:40] = 200
    values = measure(image).values
    part = 400 / 3200
    assert values["coverage"] == part
    assert values["gray_mean"] == 200 * part
    assert values["gray_levels"] == 2
    entropy = -part * math.log2(part) - (1 - part) * math.log2(1 - part)
    assert values["entropy"] == pytest.approx(entropy)
    box = [values[f"box_{name}"] for name in ("width", "height", "x", "y")]
    assert box == [0.25, 0.5, 0.375, 0.5]


def test_a_white_background_is_a_background():
    image = np.full((32, 32, 3), 255, np.uint8)
    image[:4, :8] = (1, 2, 3)
    assert measure(image).values["coverage"] == 32 / 1024


def test_a_blank_image_has_no_box_and_no_slope():
    found = measure(np.full((32, 32), 7, np.uint8))
    assert found.blank
    assert found.values["coverage"] == found.values["entropy"] == 0
    assert all(math.isnan(found.values[n]) for n in ("box_width", "box_y", "spectrum_slope"))


def test_gray_follows_the_weights_of_pillow():
    from PIL import Image

    image = np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8)
    wanted = np.asarray(Image.fromarray(image).convert("L")).astype(int)
    assert np.abs(to_gray(image).astype(int) - wanted).max() <= 1


@pytest.mark.parametrize("exponent", [-1.0, -2.0, -3.0])
def test_the_slope_of_noise_with_a_known_spectrum(exponent):
    rng = np.random.default_rng(1)
    y, x = np.fft.fftfreq(256)[:, None], np.fft.rfftfreq(256)
    radius = np.hypot(y, x)
    radius[0, 0] = 1
    phases = np.exp(2j * np.pi * rng.random(radius.shape))
    field = np.fft.irfft2(radius ** (exponent / 2) * phases)
    field = (field - field.min()) / np.ptp(field) * 255
    assert spectrum_slope(field.astype(np.uint8)) == pytest.approx(exponent, abs=0.25)


def test_near_equal_pairs_are_counted_and_blank_images_left_out():
    rng = np.random.default_rng(2)
    images = rng.integers(0, 256, (600, 32, 32), np.uint8)
    images[599] = images[3]
    images[598] = np.clip(images[4].astype(int) + 1, 0, 255)
    images[100] = images[101] = 9
    assert near_equal(np.stack([measure(image).thumbnail for image in images])) == 2


@pytest.mark.parametrize(("count", "total"), [(5, 3), (3, 3), (10, 1000), (900, 1000)])
def test_places_are_distinct_and_sorted(count, total):
    places = collect.chosen_places(count, total).tolist()
    assert len(places) == min(count, total)
    assert places == sorted(set(places))
    assert set(places) <= set(range(total))
    assert places == collect.chosen_places(count, total).tolist()


@pytest.mark.parametrize("name", SETS)
def test_a_report_agrees_with_the_samples(name, tmp_path):
    folder = made(tmp_path / "set", name)
    dataset, report = open_dataset(folder), reported(folder)
    samples = list(dataset.values())
    assert report.measured == report.num_samples == len(samples)
    assert report.grays.sum() == len(samples) * 32 * 32
    means = [float(to_gray(sample.image).mean()) for sample in samples]
    assert report.columns["gray_mean"] == pytest.approx(means)
    assert report.labels.total() == sum(len(sample.labels) for sample in samples)
    if samples[0].mask is not None:
        whole = np.concatenate([sample.mask.ravel() for sample in samples])
        wanted = {int(level): float((whole == level).mean()) for level in np.unique(whole)}
        assert report.mask_area == pytest.approx(wanted)
    if name == "linedb-16":
        assert report.per_category == {0: 8, 1: 8, 2: 8}
        assert set(report.columns["parameter num_lines"]) == {1.0, 2.0, 3.0}
    else:
        assert not report.per_category


@pytest.mark.parametrize("kind", kinds())
def test_there_is_a_report_of_every_kind(kind, tmp_path):
    name = {load_recipe(name).variant.KIND: name for name in NAMES}[kind]
    recipe = some_of(name)
    manifest = generate(recipe, tmp_path / "set", workers=1)
    report = reported(tmp_path / "set")
    assert (
        report.measured == report.compared == sum(s.num_samples for s in manifest.splits.values())
    )
    assert len(report.per_category) == (0 if recipe.variant.SCENE else recipe.num_categories)
    assert bool(report.mask_area) == (recipe.variant.LABEL_TYPE.panels > 1)
    assert set(MEASURES) <= set(page.as_json(report)["figures"])
    tags = Tags()
    tags.feed(page.as_page(report))
    assert not tags.open


def test_boxes_of_instances_are_measured(tmp_path):
    made(tmp_path / "set", "inscore", num_images=4, image_size=48)
    report = reported(tmp_path / "set")
    found = [annotations(sample.target) for sample in open_dataset(tmp_path / "set").values()]
    seen = [[one["bbox"] for one in image if one["area"]] for image in found]
    assert report.columns["boxes: instances an image"].tolist() == [len(image) for image in seen]
    for name, at in (("width", 2), ("height", 3)):
        wanted = [box[at] / 48 for image in seen for box in image]
        assert report.columns[f"boxes: {name}, parts of the image"].tolist() == wanted
    assert not report.words


def test_many_images_take_no_more_memory(tmp_path, monkeypatch):
    """Some of many are compared with each other; parameters of two types are words."""
    folder = made(tmp_path / "set", "linedb-16")
    whole = reported(folder)
    monkeypatch.setattr(collect, "_COMPARED", 5)
    lines = iter(range(24))
    monkeypatch.setattr(
        collect,
        "facts_in",
        lambda *_: {"lines": k if (k := next(lines)) % 2 else f"{k} of them", "k": k},
    )
    some = reported(folder)
    assert (some.measured, some.compared, len(some.shown)) == (24, 5, 24)
    assert some.grays.tolist() == whole.grays.tolist()
    assert some.words["lines"].total() == 24 and some.words["lines"]["7"] == 1
    assert some.columns["parameter k"].tolist() == list(range(24))
    assert "parameter lines" not in some.columns


def test_counts_and_bytes_are_those_of_all_samples(tmp_path):
    folder = made(tmp_path / "set", "linedb-16")
    whole, part = reported(folder), reported(folder, 5)
    assert part.measured == len(part.shown) == 5
    assert part.per_category == whole.per_category
    assert part.sample_bytes == whole.sample_bytes
    total = 0
    for shard in folder.glob("*.tar"):
        with tarfile.open(shard) as tar:
            total += sum(member.size for member in tar if member.name.endswith(".png"))
    assert part.sample_bytes["png"] == pytest.approx(total / 24)


def test_distances_grow_from_equal_sets_to_other_kinds(tmp_path):
    few = {"num_categories": 16, "num_instances": 40}
    one = reported(made(tmp_path / "one", "linedb-16", **few))
    again = reported(made(tmp_path / "again", "linedb-16", **few))
    seed = reported(made(tmp_path / "seed", "linedb-16", seed=5, **few))
    other = reported(made(tmp_path / "other", "segrcdb", num_images=100))
    assert set(compare.distances(one, again).values()) == {0.0}
    near, far = compare.distances(one, seed), compare.distances(one, other)
    assert max(near[name] for name in MEASURES) < 0.12
    assert far["gray_levels"] > 0.9 and far["coverage"] > 0.9
    assert np.mean([far[name] for name in MEASURES]) > 5 * np.mean(
        [near[name] for name in MEASURES]
    )


def test_distances_are_those_of_scipy():
    from scipy.stats import ks_2samp

    rng = np.random.default_rng(3)
    a, b = rng.normal(size=200).round(1), rng.normal(0.3, size=150).round(1)
    wanted = ks_2samp(a, b).statistic
    assert compare.kolmogorov_smirnov(a, b) == pytest.approx(wanted)
    gap = np.append(b, np.nan)
    assert compare.kolmogorov_smirnov(a, gap) == pytest.approx(wanted)


class Tags(HTMLParser):
    """Collects what a page would fetch, and that its elements are closed."""

    def __init__(self):
        super().__init__()
        self.fetched, self.open = [], []

    def handle_starttag(self, tag, attrs):
        self.fetched += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "rect", "line", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("rect", "line"):
            assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_else(tmp_path):
    folder = made(tmp_path / "set<b>", "segrcdb")
    other = made(tmp_path / "other", "linedb-16")
    text = page.as_page(reported(folder), reported(other))
    tags = Tags()
    tags.feed(text)
    assert not tags.open
    assert tags.fetched and all(value.startswith("data:image/png;") for value in tags.fetched)
    assert "set<b>" not in text and "set&lt;b&gt;" in text
    assert not re.search(r"https?://", text)


def test_the_command_writes_page_and_figures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made(tmp_path / "set", "linedb-16")
    runner = CliRunner()
    run = runner.invoke(cli, ["report", "set", "--json", "set.json", "--samples", "7"])
    assert (run.exit_code, run.output.split()[-1]) == (0, "set.json")
    figures = json.loads((tmp_path / "set.json").read_text())
    assert (figures["opened"], figures["categories"]) == (7, {"number": 3, "least": 8, "most": 8})
    assert sum(figures["gray_levels"]) == 7 * 32 * 32
    assert not (tmp_path / "report.html").exists()
    run = runner.invoke(cli, ["report", "set", "--against", "set"])
    assert run.exit_code == 0
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
