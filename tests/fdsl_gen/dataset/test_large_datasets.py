"""One sample of a set of ten million is read without a table of all keys."""

import shutil
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from fdsl_gen import load_recipe, open_dataset
from fdsl_gen.archive import tar
from fdsl_gen.archive.manifest import FORMAT, Manifest, ShardEntry, SplitEntry
from fdsl_gen.archive.paths import ShardPaths
from fdsl_gen.archive.sample import Sample, digest_text
from fdsl_gen.core.errors import Mismatch
from fdsl_gen.dataset.facts import facts_of
from fdsl_gen.recipe.order import SampleId, Shard, samples_of, shards_of
from fdsl_gen.recipe.recipe import Recipe

AROUND = 2  # shards that are there on both sides of one that is asked for


def recipes() -> dict[str, Recipe]:
    small = {"image_size": 64, "samples_per_shard": 10_000}
    return {
        "rounds of neighbors": load_recipe("fractaldb-10k", samples_per_shard=10_000),
        "an instance a round": load_recipe(
            "rcdb-1k", num_instances=10_000, validation_instances=1000, **small
        ),
        "scenes": load_recipe("multi-fractal", num_images=10_000_000, **small),
    }


def made(folder: Path, recipe: Recipe, wanted: list[Shard]) -> list[str]:
    """A folder whose manifest speaks of the whole set; a key of each of the wanted shards.

    Only those shards and their neighbors have files: of headers, an image and holes.
    """
    shards = shards_of(recipe)
    members = recipe.sample_format.members
    spec = recipe.variant.image
    image = np.zeros((spec.height, spec.width), np.uint8)
    image[1, 2] = 10
    near = {(s.split, s.index + d) for s in wanted for d in range(-AROUND, AROUND + 1)}
    near |= {("train", 0), ("validation", 0)}
    keys, splits = {}, {}
    if recipe.variant.image.channels == 3:
        image = np.repeat(image[:, :, None], 3, axis=2)
    one = recipe.sample_format.encode(Sample("0", image, (7,)), {})
    row = tar.index_of([one], members)
    step = sum(512 + len(content) + -len(content) % 512 for _, content in one.members)
    for shard in shards:
        size = shard.num_samples * step + 10240
        name = f"{shard.stem(recipe.name)}.tar"
        entry = ShardEntry(
            file=name,
            samples=shard.num_samples,
            bytes=size,
            sha256="0" * 64,
            content_digest="0" * 32,
        )
        splits.setdefault(shard.split, []).append(entry)
        if (shard.split, shard.index) not in near:
            continue
        index = np.repeat(row, shard.num_samples)
        samples = samples_of(recipe, shard)
        index["key"] = [one.key.encode() for one in samples]
        for member in members:
            index[f"{member}_offset"] += np.arange(shard.num_samples) * step
        (folder / ShardPaths.of(name).index).parent.mkdir(parents=True, exist_ok=True)
        (folder / ShardPaths.of(name).index).write_bytes(tar.index_bytes(index))
        with (folder / name).open("wb") as file:
            for member, content in one.members:
                file.seek(5 * step + int(row[f"{member}_offset"][0]))
                file.write(content)
            file.truncate(size)
        if shard in wanted:
            keys[shard] = samples[5].key
    manifest = Manifest(
        format=FORMAT,
        recipe=recipe.to_dict(),
        identity=recipe.identity,
        recipe_digest=recipe.recipe_digest,
        content_digest=digest_text(0),
        members=members,
        splits={
            name: SplitEntry(num_samples=sum(e.samples for e in split), shards=tuple(split))
            for name, split in splits.items()
        },
        **facts_of(recipe),
    )
    (folder / "manifest.json").write_bytes(manifest.to_json())
    return [keys[shard] for shard in wanted]


@pytest.mark.parametrize("kind", list(recipes()))
def test_a_sample_of_ten_million(tmp_path: Path, kind: str) -> None:
    recipe = recipes()[kind]
    shards = shards_of(recipe)
    wanted = [shards[k] for k in (3, len(shards) // 2 + 1, len(shards) - 2)]
    keys = made(tmp_path, recipe, wanted)
    times = []  # of this process: the machine may be busy
    for key in keys:
        began = time.process_time()
        sample = open_dataset(tmp_path)[key]
        times.append(time.process_time() - began)
        assert sample.key == key
        assert np.all(sample.image[1, 2] == 10) and sample.labels[0] == 7
    assert min(times) < 0.05, times
    tracemalloc.start()
    dataset = open_dataset(tmp_path)
    assert all(dataset[key].key == key for key in keys)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20  # a table of all keys takes a hundred times as much
    assert len(dataset) == 10_000_000
    assert next(iter(dataset)) == samples_of(recipe, shards[0])[0].key
    assert SampleId(0, 10_000_000).key not in dataset
    for wrong in ("", "x", "1_1", "00000_00000_00000", "-0001_00000", "0" * 30):
        assert wrong not in dataset


def test_a_sample_is_found_beside_damaged_shards(small_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(small_folder, folder)
    whole = open_dataset(folder)
    keys = {key: whole[key].image.tobytes() for key in whole}
    _, *others = sorted(folder.glob("*.tar"))
    lost = open_dataset(folder)._keys(whole.manifest.splits["train"].shards[0])
    for path in others:
        path.unlink()
    dataset = open_dataset(folder)
    for key in lost.tolist():
        assert dataset[key.decode()].image.tobytes() == keys[key.decode()]
    gone = next(key for key in keys if key.encode() not in lost.tolist())
    with pytest.raises(Mismatch, match=r"is missing"):
        dataset[gone]
