"""Instances as COCO annotations: run lengths, boxes, and what is refused."""

import contextlib
import copy
import json
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as run_lengths

from fdsl_gen.archive.label_types import INSTANCES, Target
from fdsl_gen.archive.label_types.instances import annotations, boxes

# pycocotools 2.0.11 converts arrays as numpy 1 wanted it.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

masks = st.builds(
    lambda seed, height, width, count: (
        np.random.RandomState(seed).randint(0, count + 1, (height, width)).astype(np.uint8)
    ),
    st.integers(0, 1000),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(0, 4),
)


@given(masks)
def test_pycocotools_reads_what_is_written(mask):
    count = int(mask.max())
    target = Target(tuple(range(5, 5 + count)), mask)
    for number, one in enumerate(annotations(target), 1):
        runs = run_lengths.frPyObjects(one["segmentation"], *mask.shape)
        mine = (mask == number).astype(np.uint8)
        assert np.array_equal(run_lengths.decode(runs), mine)
        assert run_lengths.area(runs) == one["area"] == mine.sum()
        assert one["category_id"] == 5 + number
        if mine.any():
            assert run_lengths.toBbox(runs).tolist() == one["bbox"]
            assert run_lengths.encode(np.asfortranarray(mine)) == runs


@given(masks)
def test_a_round_trip_gives_the_same_target(mask):
    target = Target(tuple([3] * int(mask.max())), mask)
    again = INSTANCES.decode(json.dumps(INSTANCES.facts(target)).encode())
    assert again.labels == target.labels
    assert np.array_equal(again.mask, mask)
    assert again.mask.flags.c_contiguous


def test_boxes_are_tight():
    mask = np.zeros((6, 8), np.uint8)
    mask[2:5, 3] = 1
    mask[3, 1:7] = 2
    assert boxes(mask, 3).tolist() == [[3, 2, 1, 3], [1, 3, 6, 1], [0, 0, 0, 0]]


MASK = np.array([[1, 1, 0], [0, 2, 2]], np.uint8)
SOUND = json.loads(json.dumps(INSTANCES.facts(Target((0, 6), MASK))))


def changed(path, value, found):
    *outer, last = path
    for name in outer:
        found = found[name]
    found[last] = value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["height"], 3),
        (["height"], 0),
        (["width"], 10**9),
        (["annotations"], {}),
        (["annotations"], [1]),
        (["annotations", 0, "category_id"], 0),
        (["annotations", 0, "category_id"], "1"),
        (["annotations", 0, "area"], 3),
        (["annotations", 1, "bbox"], [0, 0, 3, 2]),
        (["annotations", 1, "segmentation", "counts"], [0, 1, 5]),  # overlaps the first
        (["annotations", 1, "segmentation", "counts"], [3, 1, 1]),
        (["annotations", 1, "segmentation", "counts"], [3, -1, 4]),
        (["annotations", 1, "segmentation", "counts"], [10**30]),
        (["annotations", 1, "segmentation", "counts"], "03"),
        (["annotations", 1, "segmentation", "size"], [3, 2]),
    ],
)
def test_what_is_not_sound_is_refused(path, value):
    found = copy.deepcopy(SOUND)
    decode = partial(INSTANCES.decode)
    assert decode(json.dumps(found).encode()).labels == (0, 6)
    changed(path, value, found)
    with pytest.raises(ValueError, match="does not hold annotations of instances"):
        decode(json.dumps(found).encode())


def test_more_instances_than_a_mask_tells_apart():
    one = SOUND["annotations"][0]
    one = one | {"segmentation": {"size": [2, 3], "counts": [6]}, "area": 0, "bbox": [0, 0, 0, 0]}
    many = SOUND | {"annotations": [one] * 256}
    with pytest.raises(ValueError, match="does not hold"):
        INSTANCES.decode(json.dumps(many).encode())
    assert len(INSTANCES.decode(json.dumps(SOUND | {"annotations": [one] * 255}).encode()).labels)


SIDE = 8192
WHOLE = SIDE * SIDE


@pytest.mark.slow
@pytest.mark.parametrize("counts", [[[1] * 2_000_000 + [WHOLE - 2_000_000]], [[WHOLE]] * 255, []])
def test_annotations_of_anyone_cost_little(counts, cheaply):
    one = SOUND["annotations"][0]
    found = [one | {"segmentation": {"size": [SIDE, SIDE], "counts": each}} for each in counts]
    data = json.dumps({"height": SIDE, "width": SIDE, "annotations": found}).encode()
    with contextlib.suppress(ValueError):
        INSTANCES.decode(data)
