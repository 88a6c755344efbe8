"""The order of training is a permutation each epoch, and any batch of it can be had directly."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fdsl_train.data.sampler import WINDOW, MultiViewSampler, Order, Position, Sequential

sizes = st.lists(st.integers(1, 9), min_size=1, max_size=40)


@given(sizes, st.integers(0, 2**63 - 1), st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_every_epoch_shows_every_sample_once(shard_sizes: list[int], seed: int, epoch: int) -> None:
    total = sum(shard_sizes)
    found = Order(shard_sizes, seed, 4).positions(epoch * total, total)
    assert {position.epoch for position in found} == {epoch}
    pairs = [(position.shard, position.row) for position in found]
    everything = [(shard, row) for shard, size in enumerate(shard_sizes) for row in range(size)]
    assert sorted(pairs) == everything
    numbers = {(p.shard, p.row): p.number for p in found}
    assert [numbers[pair] for pair in everything] == list(range(total))


@given(sizes, st.integers(1, 50), st.lists(st.integers(0, 30), min_size=1, max_size=10))
@settings(max_examples=30, deadline=None)
def test_random_access_equals_sequential(
    shard_sizes: list[int], batch_size: int, wanted: list[int]
) -> None:
    sequential = Order(shard_sizes, 3, batch_size)
    batches = [sequential.batch(index) for index in range(max(wanted) + 1)]
    jumping = Order(shard_sizes, 3, batch_size)
    for index in wanted:
        assert jumping.batch(index) == batches[index]
        assert len(batches[index]) == batch_size


@given(sizes, st.integers(1, 12), st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_repeats_stand_in_a_row(shard_sizes: list[int], batch_size: int, repeats: int) -> None:
    plain = Order(shard_sizes, 5, 1)
    order = Order(shard_sizes, 5, batch_size, repeats)
    found = [position for index in range(6) for position in order.batch(index)]
    expected = [
        position._replace(repeat=repeat)
        for position in plain.positions(0, len(found))
        for repeat in range(repeats)
    ]
    assert found == expected[: len(found)]


def test_the_next_window_is_known_before_it_is_read() -> None:
    order = Order([3] * (2 * WINDOW), 7, 3 * WINDOW)  # a batch is a window
    for index in range(6):
        assert set(order.next_shards(index)) == {p.shard for p in order.batch(index + 1)}
    small = Order([3] * (2 * WINDOW), 7, 6)
    assert [small.next_shards(index) for index in range(8)] == [order.next_shards(0)] * 8
    assert small.next_shards(8) == order.next_shards(1)


def test_one_of_each_shows_every_instance_once_in_a_cycle() -> None:
    views = np.arange(7 * 4 * 2).reshape(7, 4, 2)
    plan = MultiViewSampler(Order([7], 3, 7, 1), views, 3, 1)
    epochs = [plan.batch(epoch) for epoch in range(12)]
    for batch in epochs:
        assert sorted(position.number for position in batch) == list(range(7))
        for position in batch:
            assert [position.shard, position.row] in views[position.number].tolist()
    for number in range(7):
        rows = [p.row for batch in epochs for p in batch if p.number == number]
        for cycle in range(3):
            assert len(set(rows[4 * cycle : 4 * cycle + 4])) == 4
        assert rows[:4] != rows[4:8] or rows[4:8] != rows[8:]


def test_repeats_of_one_of_each_are_visits_too() -> None:
    views = np.arange(5 * 6 * 2).reshape(5, 6, 2)
    plan = MultiViewSampler(Order([5], 3, 15, 3), views, 3, 3)
    rows: dict[int, list[int]] = {}
    for position in plan.batch(0) + plan.batch(1):
        rows.setdefault(position.number, []).append(position.row)
    assert all(len(own) == len(set(own)) == 6 for own in rows.values())


def test_a_batch_may_span_several_epochs() -> None:
    batch = Order([2, 1], 0, 10).batch(0)
    assert [position.epoch for position in batch] == [0] * 3 + [1] * 3 + [2] * 3 + [3]


def test_samples_come_from_windows_of_shards() -> None:
    order = Order([5] * (2 * WINDOW), 0, 5 * WINDOW)
    first = {position.shard for position in order.batch(0)}
    second = {position.shard for position in order.batch(1)}
    assert len(first) == len(second) == WINDOW
    assert not first & second
    third = {position.shard for position in order.batch(2)}  # the first window of epoch 1
    assert third not in (first, second)


def test_order_depends_on_seed_and_epoch() -> None:
    def pairs(found: list[Position]) -> list[tuple[int, int]]:
        return [(position.shard, position.row) for position in found]

    total = 60
    order = Order([20, 20, 20], 0, total)
    assert pairs(order.batch(0)) != pairs(order.batch(1))
    assert pairs(order.batch(0)) != pairs(Order([20, 20, 20], 1, total).batch(0))
    # "seed + epoch" would make these equal
    assert pairs(order.batch(1)) != pairs(Order([20, 20, 20], 1, total).batch(0))


def test_windows_are_shuffled_anew_in_every_epoch_and_apart() -> None:
    """Seen where the order of the shards cannot hide it: one shard, or places within a window."""
    one = Order([60], 0, 60)
    rows = [[position.row for position in one.batch(epoch)] for epoch in range(3)]
    assert len({tuple(order) for order in rows}) == 3
    two = Order([1] * (2 * WINDOW), 0, WINDOW)  # a batch is a window of shards of one sample
    shards = two._shuffled(0)[0].tolist()
    places = [
        [shards[WINDOW * window :][:WINDOW].index(position.shard) for position in two.batch(window)]
        for window in range(2)
    ]
    assert places[0] != places[1]


@given(sizes, st.integers(1, 50))
@settings(max_examples=40, deadline=None)
def test_sequential_is_file_order(shard_sizes: list[int], batch_size: int) -> None:
    plan = Sequential(shard_sizes, batch_size)
    found = [position for b in range(plan.num_batches) for position in plan.batch(b)]
    assert [position.number for position in found] == list(range(sum(shard_sizes)))
    starts = np.cumsum([0, *shard_sizes])
    assert all(starts[p.shard] + p.row == p.number < starts[p.shard + 1] for p in found)
