"""The only maker of keys, and the NumPy side of the generator that keys seed.

A *key* is what makes a draw repeatable: 16 bytes computed from the dataset seed, a role and
indices. A *stream* is the sequence of 64-bit words that a key stands for; it is counter-based, so
word ``i`` can be had without the words before it. ``kernels/rng.py`` computes the same words inside
compiled loops. Neither uses NumPy's generators, whose distributions may change between versions.
"""

from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

MAX_SEED = 2**63  # exclusive

# Constants of the finalizer of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
# generators", OOPSLA 2014). The second key word enters between the two multiplications, so that
# two keys do not share one sequence at different offsets.
GAMMA = 0x9E3779B97F4A7C15
MULTIPLIER_1 = 0xBF58476D1CE4E5B9
MULTIPLIER_2 = 0x94D049BB133111EB


@dataclass(frozen=True)
class Key:
    """Identity of a stream: ``(seed, role, *indices)``.

    Attributes:
        seed: dataset seed, 0 <= seed < 2**63.
        role: what is drawn, for instance ``"base"``.
        indices: which one, each 0 <= index < 2**64.
    """

    seed: int
    role: str
    indices: tuple[int, ...] = ()

    def derive(self, role: str, *indices: int) -> "Key":
        """A key of the same dataset seed."""
        return Key(self.seed, role, indices)

    @cached_property
    def digest(self) -> bytes:
        """16 bytes: blake2b of the little-endian seed, the length-prefixed role, the indices."""
        name = self.role.encode()
        parts = [self.seed, len(name)]
        head = b"".join(part.to_bytes(8, "little") for part in parts)
        tail = b"".join(index.to_bytes(8, "little") for index in self.indices)
        return blake2b(head + name + tail, digest_size=16).digest()

    @property
    def words(self) -> NDArray[np.uint64]:
        """The digest as two little-endian 64-bit words, uint64 (2,): what kernels take."""
        return np.frombuffer(self.digest, dtype="<u8").astype(np.uint64)


def category_key(seed: int, index: int) -> Key:
    """The key of a category, which all its draws come from."""
    return Key(seed, "category", (index,))


def words(key: NDArray[np.uint64], count: int, start: int = 0) -> NDArray[np.uint64]:
    """Words ``start .. start + count - 1`` of streams.

    Args:
        key: :attr:`Key.words` of one key or of several, uint64 (..., 2).
        count: words of each.
        start: the first one.

    Returns:
        uint64 (..., count).
    """
    counter = np.arange(start + 1, start + count + 1, dtype=np.uint64)
    z: NDArray[np.uint64] = key[..., :1] + counter * np.uint64(GAMMA)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(MULTIPLIER_1)
    z = (z ^ (z >> np.uint64(27)) ^ key[..., 1:]) * np.uint64(MULTIPLIER_2)
    z ^= z >> np.uint64(31)
    return z


def uniforms(
    key: NDArray[np.uint64], count: int, low: float = 0.0, high: float = 1.0
) -> NDArray[np.float64]:
    """``count`` draws of U(low, high) of each key, float64 (..., count).

    A draw is ``low + (high - low) * (word >> 11) * 2**-53``.
    """
    unit = (words(key, count) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return low + (high - low) * unit


def permutation(key: Key, count: int) -> NDArray[np.int64]:
    """A keyed permutation of ``range(count)``, int64 (count,): the ranks of its words."""
    return np.argsort(words(key.words, count), kind="stable").astype(np.int64)


class Stream:
    """Draws taken one after another from the words of a key, for code that is not hot.

    Each draw takes whole words, so a sequence of calls always gives the same values.
    """

    _BLOCK = 64

    def __init__(self, key: Key) -> None:
        self._key = key.words
        self._block: list[int] = []
        self._taken = 0

    def word(self) -> int:
        """The next 64-bit word."""
        offset = self._taken % self._BLOCK
        if offset == 0:
            self._block = words(self._key, self._BLOCK, self._taken).tolist()
        self._taken += 1
        return self._block[offset]

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A draw of U(low, high): ``low + (high - low) * (word >> 11) * 2**-53``."""
        return low + (high - low) * ((self.word() >> 11) * 2.0**-53)

    def integer(self, low: int, high: int) -> int:
        """A draw of U{low..high}, both ends included, exact by rejection."""
        span = high - low
        shift = 64 - span.bit_length()
        while True:
            value = self.word() >> shift
            if value <= span:
                return low + value
