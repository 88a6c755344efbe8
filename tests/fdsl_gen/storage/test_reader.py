"""Samples of a dataset in object storage are read one by one."""

import numpy as np
import pytest

from fdsl_gen import open_dataset
from fdsl_gen.core.errors import Mismatch, UsageError


@pytest.mark.parametrize("cloud", ["s3", "gs", "az"], indirect=True)
def test_samples_are_those_of_the_folder(small_folder, bucket, direct):
    for path in small_folder.rglob("*.*"):
        direct.write(path.relative_to(small_folder).as_posix(), path.read_bytes())
    stored, local = open_dataset(bucket.url, storage=bucket.options), open_dataset(small_folder)
    assert list(stored) == list(local) and len(stored) == 40
    for key in list(local)[:3]:
        assert stored[key].label == local[key].label
        assert np.array_equal(stored[key].image, local[key].image)
    assert "00040_00000" not in stored
    assert list(bucket.stream("manifest.json", 1, count=3)) == [
        (small_folder / "manifest.json").read_bytes()[1:4]
    ]


def test_without_an_index_and_with_a_damaged_one(small_folder, bucket, direct):
    for path in small_folder.rglob("*.*"):
        direct.write(path.relative_to(small_folder).as_posix(), path.read_bytes())
    name = "__meta__/index/fractal-1-train-000000.npy"
    key = next(iter(open_dataset(small_folder)))
    direct.delete(name)
    assert open_dataset(bucket.url, storage=bucket.options)[key].key == key
    direct.write(name, b"x" * 100)
    with pytest.raises(Mismatch, match=r"the index of fractal-1-train-000000.tar is damaged"):
        open_dataset(bucket.url, storage=bucket.options)[key]
    with pytest.raises(UsageError, match=r"has no manifest.json"):
        open_dataset(f"{bucket.url}/other", storage=bucket.options)
