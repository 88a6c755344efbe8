"""Order, shards and splits: properties over many recipes."""

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fdsl_gen.core.keys import Key, permutation
from fdsl_gen.recipe.order import SampleId, samples_of, shards_of
from fdsl_gen.recipe.recipe import Recipe


@dataclass
class Kind:
    """As much of a variant as the layout looks at."""

    group_size: int
    SCENE: bool = False

    def work_group(self, instance: int) -> int:
        return instance // self.group_size


@dataclass
class Plan:
    """As much of a recipe as the layout looks at."""

    num_categories: int
    run_length: int
    validation_instances: int
    num_train_shards: int
    variant: Kind
    seed: int = 3

    instances_of = Recipe.instances_of
    num_shards_of = Recipe.num_shards_of

    @property
    def num_runs(self) -> int:
        return 1 if self.variant.SCENE else self.num_categories


@st.composite
def plans(draw, scene=False):
    categories, instances = draw(st.integers(1, 12)), draw(st.integers(1, 20))
    held_out = draw(st.integers(0, instances - 1))
    total = (1 if scene else categories) * (instances - held_out)
    shards = draw(st.integers(1, total))
    kind = Kind(draw(st.integers(1, 6)), scene)
    return Plan(categories, instances, held_out, shards, kind, draw(st.integers(0, 99)))


def by_split(plan):
    found = {}
    for shard in shards_of(plan):
        found.setdefault(shard.split, []).append(samples_of(plan, shard))
    return found


@given(plans())
@settings(max_examples=150)
def test_every_sample_stands_once(plan):
    found = by_split(plan)
    border = plan.run_length - plan.validation_instances
    for split, wanted in (("train", range(border)), ("validation", range(border, plan.run_length))):
        stored = sorted(s for shard in found.get(split, []) for s in shard)
        assert stored == [(c, i) for c in range(plan.num_categories) for i in wanted]


@given(plans())
@settings(max_examples=150)
def test_shards_are_even(plan):
    for shards in by_split(plan).values():
        sizes = [len(shard) for shard in shards]
        assert max(sizes) - min(sizes) <= 1
        assert min(sizes) >= 1


@given(plans())
@settings(max_examples=150)
def test_no_category_crowds_a_shard(plan):
    group_of = plan.variant.work_group
    for shards in by_split(plan).values():
        for shard in shards:
            groups = {(c, group_of(i)) for c, i in shard}
            per_category = Counter(c for c, _ in groups)
            assert max(per_category.values()) <= -(-len(groups) // plan.num_categories) + 1


@given(plans(scene=True))
def test_scene_sets_stand_in_image_order(plan):
    found = by_split(plan)
    stored = [
        s for split in ("train", "validation") for shard in found.get(split, []) for s in shard
    ]
    assert stored == [SampleId(-1, i) for i in range(plan.run_length)]


def test_order_follows_the_definition():
    """Two rounds of eight categories in two shards, by hand."""
    plan = Plan(8, 2, 0, 2, Kind(1), seed=5)
    line = []
    for j in range(2):
        line += [SampleId(int(c), j) for c in permutation(Key(5, "train round", (j,)), 8)]
    assert [c for c, _ in line[:8]] != [c for c, _ in line[8:]]
    for s in range(2):
        part = line[s * 8 : s * 8 + 8]
        order = permutation(Key(5, "train shard", (2, s)), 8)
        assert samples_of(plan, shards_of(plan)[s]) == [part[k] for k in order]


@pytest.mark.parametrize("sample", [SampleId(0, 0), SampleId(12, 999), SampleId(123456, 1234567)])
def test_keys_can_be_read_back(sample):
    assert SampleId.from_key(sample.key) == sample


def test_key_formats():
    assert SampleId(7, 12).key == "00007_00012"
    assert SampleId(-1, 12).key == "00000012"
    assert SampleId.from_key("00000012") == SampleId(-1, 12)
