"""Kinds of dataset whose categories have parameters, which a table may give instead of draws."""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.archive.paths import TABLE
from fdsl_gen.core.errors import RenderError, UsageError
from fdsl_gen.core.keys import Key
from fdsl_gen.core.settings import setting
from fdsl_gen.geometry.category_table import (
    Column,
    Row,
    Rows,
    TableLayout,
    read_table,
    rows_digest,
    table_text,
)
from fdsl_gen.variants.base import SearchedIfs, Variant

_MAX_COEFFICIENT = 1e6  # beyond it, everything diverges
_NEIGHBORS = 8  # that are tried on either side of a difference


@dataclass(frozen=True, kw_only=True)
class Parametric(Variant):
    """A kind of dataset whose categories have parameters.

    It draws them (``sample_category``), says them (``category_rows``) and takes them
    (``category_of_rows``), so that categories go to a table and come from one.

    Attributes:
        TABLE: the columns of its table.
    """

    TABLE: ClassVar[TableLayout]

    categories_from: str | None = setting(
        None,
        doc="take categories from a table, as fdsl-gen categories writes it (CSV)",
        identity=False,
        stored=False,
    )
    categories_sha256: str | None = setting(
        None,
        doc="digest of those categories; found on reading if not given",
        derived="table_sha256",
    )

    @property
    def has_table(self) -> bool:
        """Whether categories come from a table."""
        return self.categories_from is not None or self.categories_sha256 is not None

    @property
    def inputs(self) -> Mapping[str, str]:
        return {"categories_from": TABLE} if self.has_table else {}

    def input_bytes(self, setting: str) -> bytes:
        return table_text(self.TABLE, self.table()).encode()

    def check_files(self) -> None:
        if self.categories_from is not None:
            self.table()

    @property
    def table_sha256(self) -> str | None:
        """Digest of the table, as given or as read; None if there is none."""
        if self.categories_sha256 is not None or self.categories_from is None:
            return self.categories_sha256
        return _digest_of(type(self), self.categories_from)

    def table(self) -> tuple[Rows, ...]:
        """The rows of all categories of the table.

        Raises:
            UsageError: if it is not named, cannot be read, or is not that of the recipe.
        """
        if self.categories_from is None:
            raise UsageError(
                "categories_from: say which table has the categories (--categories-from FILE)"
            )
        if _digest_of(type(self), self.categories_from) != self.table_sha256:
            raise UsageError(
                f"categories_from: {self.categories_from} is not what this recipe was made with"
                " (its categories_sha256 differs)"
            )
        return self.read_rows(self.categories_from)

    @classmethod
    def read_rows(cls, path: str) -> tuple[Rows, ...]:
        """The rows of all categories in a file; UsageError if it is none of theirs."""
        return read_table(path, cls.TABLE)

    @classmethod
    def digest_of_rows(cls, entries: tuple[Rows, ...]) -> str:
        """sha256 of the parameters of all categories."""
        return rows_digest(cls.TABLE, entries)

    def category(self, index: int, key: Key) -> Any:
        if not self.has_table:
            return self.sample_category(index, key)
        entries = self.table()
        if index >= len(entries):
            raise RenderError(
                f"{self.categories_from} has {len(entries):,} categories, no number {index};"
                " give fewer num_categories"
            )
        return self.category_of_rows(index, key, entries[index])

    @abstractmethod
    def sample_category(self, index: int, key: Key) -> Any:
        """The category as it is drawn; see ``Variant.category``."""

    @abstractmethod
    def category_rows(self, category: Any) -> Sequence[Row]:
        """The rows of a category in the table."""

    @abstractmethod
    def category_of_rows(self, index: int, key: Key, rows: Rows) -> Any:
        """The inverse of :meth:`category_rows`.

        Raises:
            UsageError: if there is no such category.
        """


@lru_cache(maxsize=8)
def _digest_of(cls: type[Parametric], path: str) -> str:
    return cls.digest_of_rows(cls.read_rows(path))


def coefficients(letters: str) -> tuple[Column, ...]:
    """Columns of the coefficients of a map."""
    return tuple(
        Column(letter, "coefficient", low=-_MAX_COEFFICIENT, high=_MAX_COEFFICIENT)
        for letter in letters
    )


def affine_rows(affine_NK: NDArray[np.float64], letters: str) -> list[dict[str, int | float]]:
    """The coefficients of a system, a row for each map."""
    return [dict(zip(letters, row, strict=True)) for row in affine_NK.tolist()]


def affine_of(rows: Rows, letters: str) -> NDArray[np.float64]:
    """The inverse of :func:`affine_rows`, float64 (N, K)."""
    return np.array([[row[letter] for letter in letters] for row in rows], np.float64)


def searched_layout(letters: str) -> TableLayout:
    """The table of systems that are searched for."""
    p = Column("p", "probability of the map; those of a category add up to 1", low=0.0, high=1.0)
    extras = ("num_candidates", "quality")
    return TableLayout((*coefficients(letters), p), part="map", extras=extras)


def searched_rows(found: SearchedIfs, letters: str) -> list[Row]:
    """The rows of a system that was searched for."""
    facts = {"num_candidates": found.num_candidates, "quality": found.quality}
    parts = _parts(found.cumulative.tolist())
    rows = affine_rows(found.affine, letters)
    return [row | {"p": p} | facts for row, p in zip(rows, parts, strict=True)]


def searched_of(index: int, key: Key, rows: Rows, letters: str) -> SearchedIfs:
    """The inverse of :func:`searched_rows`."""
    sums: list[float] = []
    reached = 0.0
    for row in rows:
        reached += row["p"]
        sums.append(reached)
    return SearchedIfs(index, key, affine_of(rows, letters), np.array(sums), 0, 0.0)


def _parts(sums: list[float]) -> list[float]:
    """Numbers whose running sums are exactly these.

    The difference of two sums may be rounded; one of its neighbors then gives the sum, because it
    was made by adding.
    """
    parts = []
    before = 0.0
    for reached in sums:
        part = below = above = reached - before
        for _ in range(_NEIGHBORS):
            if before + part == reached:
                break
            below, above = math.nextafter(below, -math.inf), math.nextafter(above, math.inf)
            part = below if before + below == reached else above
        parts.append(part)
        before = reached
    return parts
