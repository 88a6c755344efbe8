"""Recipe, markers and manifest of a dataset are claims, compared with what they speak of."""

import json
import shutil

import pytest
from click.testing import CliRunner

from fdsl_gen.build.finalize import finalize
from fdsl_gen.cli.main import cli
from fdsl_gen.core import settings
from fdsl_gen.core.errors import Mismatch, StorageError, UsageError
from fdsl_gen.dataset.repair import restore_recipe
from fdsl_gen.dataset.store import open_for_writing
from fdsl_gen.dataset.verify import check_files
from fdsl_gen.recipe.order import shards_of


@pytest.fixture
def folder(small_folder, tmp_path):
    """A finished dataset to spoil."""
    return shutil.copytree(small_folder, tmp_path / "set")


def change(path, edit):
    data = json.loads(path.read_bytes())
    edit(data)
    path.write_text(json.dumps(data, indent=1) + "\n")


def owner(folder):
    return folder / "__meta__" / "recipe.json"


def forge_marker(folder, **claims):
    """A marker that is whole and says something else."""

    def edit(data):
        data["shard"].update(claims)
        data["digest"] = settings.digest(data["shard"])

    change(folder / "__meta__" / "markers" / "fractal-1-train-000003.json", edit)


RECIPES = {
    "setting": lambda d: d["recipe"]["variant"].update(num_points=3001),
    "seed": lambda d: d["recipe"].update(seed=1),
    "categories": lambda d: d["recipe"].update(num_categories=48),
    "identity": lambda d: d.update(identity="0" * 64),
    "digest": lambda d: d.update(recipe_digest="0" * 64),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_that_does_not_fit_its_digests_is_refused(folder, name):
    change(owner(folder), RECIPES[name])
    with pytest.raises(UsageError, match=r"recipe\.json .*digests.*finalize --repair"):
        open_for_writing(folder)
    assert any("recipe.json" in problem for problem in check_files(folder, lambda entry: None))


@pytest.mark.parametrize("text", [None, "", "[]", '{"recipe": {}}', "[" * 100_000])
def test_a_lost_recipe_is_restored_from_the_manifest(folder, small_folder, text):
    owner(folder).unlink()
    if text is not None:
        owner(folder).write_text(text)
    assert CliRunner().invoke(cli, ["finalize", str(folder)]).exception
    done = CliRunner().invoke(cli, ["finalize", "--repair", str(folder)], catch_exceptions=False)
    assert done.exit_code == 0
    for path in small_folder.rglob("*.*"):
        assert (folder / path.relative_to(small_folder)).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", ["index", "marker"])
def test_a_folder_that_was_deleted_is_not_made_anew(folder, name):
    dataset = open_for_writing(folder)
    shard = shards_of(dataset.recipe)[3]
    shutil.rmtree(folder)
    with pytest.raises(StorageError, match="was deleted while this ran; the same command"):
        dataset.write(getattr(dataset.paths(shard), name), b"x")
    with pytest.raises(StorageError, match="was deleted"):
        dataset.write_tar(shard, [b"x"])
    assert not folder.exists()


def test_a_folder_that_was_taken_over_is_noticed(folder, small):
    dataset = open_for_writing(folder)
    owner(folder).write_bytes(small(delta=0.2).lock_bytes())
    with pytest.raises(UsageError, match=r"belongs to another recipe \(different: variant.delta"):
        dataset.fetch()
    owner(folder).unlink()
    with pytest.raises(StorageError, match="was deleted while this ran"):
        dataset.fetch()


def test_nothing_is_restored_from_a_manifest_that_is_not_true(folder):
    owner(folder).unlink()
    manifest = folder / "manifest.json"
    good = manifest.read_bytes()
    change(manifest, lambda d: d["recipe"].update(seed=1))
    with pytest.raises(UsageError, match="does not fit its own digests"):
        restore_recipe(folder)
    manifest.write_bytes(good)
    tar = folder / "fractal-1-train-000003.tar"
    tar.write_bytes(tar.read_bytes()[:-1] + b"x")
    with pytest.raises(Mismatch, match="000003"):
        restore_recipe(folder)
    assert not owner(folder).exists()


def test_a_marker_is_compared_with_its_shard_before_a_manifest_is_written(folder):
    manifest = folder / "manifest.json"
    manifest.unlink()
    forge_marker(folder, sha256="0" * 64)
    with pytest.raises(Mismatch, match=r"000003\.tar .* not what its marker says"):
        finalize(open_for_writing(folder))
    assert not manifest.exists()


def test_a_marker_with_a_flipped_digit_counts_as_missing(folder):
    def edit(data):
        digest = data["shard"]["content_digest"]
        data["shard"]["content_digest"] = digest[:-1] + ("0" if digest[-1] != "0" else "1")

    change(folder / "__meta__" / "markers" / "fractal-1-train-000003.json", edit)
    assert [shard.index for shard in open_for_writing(folder).missing()] == [3]


def test_a_good_manifest_is_not_replaced_by_another(folder):
    manifest = folder / "manifest.json"
    good = manifest.read_bytes()
    forge_marker(folder, blank=1)
    with pytest.raises(UsageError, match=r"says something else .*finalize --overwrite"):
        finalize(open_for_writing(folder))
    assert manifest.read_bytes() == good
    command = ["finalize", "--overwrite", str(folder)]
    assert CliRunner().invoke(cli, command, catch_exceptions=False).exit_code == 0
    assert manifest.read_bytes() != good


def test_a_damaged_manifest_is_written_anew(folder):
    manifest = folder / "manifest.json"
    good = manifest.read_bytes()
    manifest.write_bytes(good[:-10])
    finalize(open_for_writing(folder))
    assert manifest.read_bytes() == good


MANIFESTS = {
    "num_classes": lambda d: d.update(num_classes=39),
    "image": lambda d: d["image"].update(width=65),
    "recipe.json": lambda d: d["recipe"].update(seed=1),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_is_compared_with_its_recipe(folder, name):
    change(folder / "manifest.json", MANIFESTS[name])
    assert any(name in problem for problem in check_files(folder, lambda entry: None))


def test_a_manifest_alone_is_compared_with_its_own_digests(folder):
    owner(folder).unlink()
    change(folder / "manifest.json", lambda d: d["recipe"].update(seed=1))
    assert any("identity" in problem for problem in check_files(folder, lambda entry: None))
