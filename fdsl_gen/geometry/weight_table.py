"""Tables of weights: variations of a system by multiplying one coefficient of every map.

Shapes: N maps, K coefficients (6 in the plane, 12 in space).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

UNCHANGED = ("a", 1.0)  # the row of the system itself


@dataclass(frozen=True, slots=True)
class WeightTable:
    """Which coefficient of every map a variation multiplies by what.

    Attributes:
        letters: names of the coefficients of a map, in their order.
        rows: letter and factor of each variation.
    """

    letters: str
    rows: tuple[tuple[str, float], ...]

    @classmethod
    def of_factors(cls, letters: str, factors: Sequence[float], unchanged_at: int) -> "WeightTable":
        """Every letter with every factor in turn; the system itself is row ``unchanged_at``."""
        rows = [(letter, factor) for letter in letters for factor in factors]
        rows.insert(unchanged_at, UNCHANGED)
        return cls(letters, tuple(rows))

    def with_row(self, number: int, row: tuple[str, float]) -> "WeightTable":
        """The table with another row ``number``."""
        return replace(self, rows=(*self.rows[:number], row, *self.rows[number + 1 :]))

    def apply(self, affine_NK: NDArray[np.float64], number: int) -> NDArray[np.float64]:
        """A system with row ``number`` applied, float64 (N, K)."""
        letter, factor = self.rows[number]
        changed = affine_NK.copy()
        changed[:, self.letters.index(letter)] *= factor
        return changed
