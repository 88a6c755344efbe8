"""Keys and streams: pinned values, equality of both sides of the generator, laws."""

from hashlib import blake2b

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdsl_gen.core.keys import Key, Stream, permutation, uniforms, words
from fdsl_gen.kernels import rng

seeds = st.integers(0, 2**63 - 1)
indices = st.lists(st.integers(0, 2**64 - 1), max_size=4).map(tuple)
MASK = 2**64 - 1


def plain_word(digest: bytes, i: int) -> int:
    first, second = int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")
    z = (first + (i + 1) * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27) ^ second) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def test_key_is_what_the_design_says():
    payload = (5).to_bytes(8, "little") + (4).to_bytes(8, "little") + b"base"
    payload += (7).to_bytes(8, "little")
    assert Key(5, "base", (7,)).digest == blake2b(payload, digest_size=16).digest()
    assert Key(0, "base").digest.hex() == "bf8055aa1ae19a5ad2efbab1aa2531ba"


@given(seeds, indices, seeds, indices)
def test_keys_differ(seed, index, other_seed, other_index):
    one, other = Key(seed, "r", index), Key(other_seed, "r", other_index)
    assert (one.digest == other.digest) == (one == other)
    assert one.digest != Key(seed, "s", index).digest


def test_trailing_zeros_and_role_borders_matter():
    assert Key(1, "a", (5, 3)).digest != Key(1, "a", (5, 3, 0)).digest
    assert Key(1, "ab", ()).digest != Key(1, "a", (ord("b"),)).digest


@given(seeds, indices, st.integers(0, 1000))
def test_words_equal_plain_integers_and_kernel(seed, index, start):
    key = Key(seed, "test", index)
    expected = [plain_word(key.digest, start + i) for i in range(5)]
    assert words(key.words, 5, start).tolist() == expected
    assert [int(rng.word(key.words, np.uint64(start + i))) for i in range(5)] == expected


def test_uniform_is_the_upper_53_bits():
    key = Key(3, "u")
    expected = [(plain_word(key.digest, i) >> 11) * 2.0**-53 for i in range(100)]
    assert uniforms(key.words, 100).tolist() == expected
    assert [rng.unit(word) for word in words(key.words, 100)] == expected
    stream = Stream(key)
    assert [stream.uniform() for _ in range(100)] == expected


def test_several_keys_at_once_equal_one_by_one():
    keys = [Key(3, "many", (k,)) for k in range(4)]
    together = uniforms(np.stack([key.words for key in keys]), 7, -2.0, 3.0)
    assert together.shape == (4, 7)
    for row, key in zip(together, keys, strict=True):
        assert np.array_equal(row, uniforms(key.words, 7, -2.0, 3.0))


@given(seeds, st.integers(1, 300))
def test_permutation_is_one(seed, count):
    order = permutation(Key(seed, "p"), count)
    assert sorted(order.tolist()) == list(range(count))


def test_permutations_are_evenly_spread():
    counts = np.zeros((5, 5))
    for k in range(4000):
        for place, value in enumerate(permutation(Key(1, "p", (k,)), 5)):
            counts[place, value] += 1
    assert np.all(np.abs(counts - 800) < 5 * np.sqrt(800 * 0.8))


@pytest.mark.parametrize(("low", "high"), [(0, 0), (0, 1), (-3, 3), (2, 7), (0, 255), (0, 256)])
def test_integers_cover_their_range_evenly(low, high):
    stream = Stream(Key(4, "int", (high,)))
    span = high - low + 1
    draws = np.array([stream.integer(low, high) for _ in range(400 * span)])
    counts = np.bincount(draws - low, minlength=span)
    assert len(counts) == span
    assert np.all(np.abs(counts - 400) < 6 * 20)


def test_words_have_even_bits_and_no_serial_correlation():
    sample = words(Key(9, "bits").words, 200_000)
    for bit in range(64):
        share = float(((sample >> np.uint64(bit)) & np.uint64(1)).mean())
        assert abs(share - 0.5) < 5 * 0.5 / np.sqrt(200_000)
    unit = (sample >> np.uint64(11)) * 2.0**-53
    assert abs(np.corrcoef(unit[:-1], unit[1:])[0, 1]) < 5 / np.sqrt(200_000)


def test_streams_of_neighboring_keys_do_not_overlap():
    seen = np.concatenate([words(Key(0, "k", (k,)).words, 5000) for k in range(100)])
    assert len(np.unique(seen)) == len(seen)
