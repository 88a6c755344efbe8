"""Parameters of categories as a table: CSV with named columns, to write and to read.

Numbers are written so that reading gives the same bits. Columns may stand in any order, those that
are not needed are passed over, lines that begin with ``#`` are comments.
"""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from struct import pack
from typing import Literal

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.json_text import read_bounded
from fdsl_gen.core.settings import Bounds

Row = Mapping[str, int | float]
Rows = tuple[Row, ...]  # of a category

CATEGORY = "category"
_MOST_BYTES = 1 << 28  # of a file


@dataclass(frozen=True, slots=True)
class Column:
    """A parameter.

    Attributes:
        name: of the column.
        doc: what it is, with its unit.
        kind: of its numbers.
        low, high: bounds of its numbers.
    """

    name: str
    doc: str
    kind: Literal["int", "float"] = "float"
    low: float | None = None
    high: float | None = None

    def parse(self, text: str) -> int | float:
        """The number in a cell.

        Raises:
            ValueError: says what is wrong with it.
        """
        what = "an integer" if self.kind == "int" else "a number"
        try:
            number = int(text) if self.kind == "int" else float(text)
        except ValueError:
            raise ValueError(f"must be {what}, not {text[:40]!r}") from None
        if not math.isfinite(number):
            raise ValueError(f"must be finite, not {text[:40]!r}")
        complaint = Bounds(low=self.low, high=self.high).complaint(number)
        if complaint:
            raise ValueError(f"{complaint}, not {text[:40]}")
        return number


@dataclass(frozen=True, slots=True)
class TableLayout:
    """What a table of a kind of dataset holds.

    Attributes:
        columns: parameters.
        part: column that numbers the rows of a category from 0, where it has several.
        most_parts: rows that a category has at most.
        shared: whether the table says what all categories share, and so names none.
        extras: columns that are written for people, and not read.
    """

    columns: tuple[Column, ...]
    part: str | None = None
    most_parts: int = 64
    shared: bool = False
    extras: tuple[str, ...] = ()

    @property
    def numbering(self) -> tuple[Column, ...]:
        """Columns that say which category a row belongs to, and in what place."""
        names = [] if self.shared else [CATEGORY]
        names += [self.part] if self.part else []
        return tuple(Column(name, "number, from 0", "int", 0, 10_000_000) for name in names)

    @property
    def needed(self) -> tuple[Column, ...]:
        """Columns that a table must have."""
        return (*self.numbering, *self.columns)


def table_text(layout: TableLayout, entries: Iterable[Sequence[Row]]) -> str:
    """The rows of categories 0, 1, ... as CSV."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    names = [column.name for column in layout.columns]
    writer.writerow([column.name for column in layout.needed] + list(layout.extras))
    for number, rows in enumerate(entries):
        for part, row in enumerate(rows):
            head = [] if layout.shared else [number]
            head += [part] if layout.part else []
            cells = [repr(row[name]) for name in names]
            cells += [repr(row[name]) if name in row else "" for name in layout.extras]
            writer.writerow([*head, *cells])
    return buffer.getvalue()


@lru_cache(maxsize=4)
def read_table(path: str, layout: TableLayout) -> tuple[Rows, ...]:
    """The rows of categories 0, 1, ... from a file.

    Raises:
        UsageError: if it cannot be read, or is not such a table; says where.
    """
    where = f"categories_from: {path}"
    try:
        text = read_bounded(Path(path), _MOST_BYTES).decode("utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"categories_from: cannot read {path}: there is no such file") from None
    except UnicodeDecodeError:
        raise UsageError(f"categories_from: cannot read {path}: it is not UTF-8 text") from None
    found: dict[int, dict[int, Row]] = {}
    lines = ("\n" if line.startswith("#") else line for line in io.StringIO(text))
    table = csv.reader(lines)
    try:
        header = next((cells for cells in table if cells), [])
        places = _places([name.strip() for name in header], layout, where)
        for cells in table:
            if cells:
                _take_row(cells, places, layout, found, f"{where}, line {table.line_num}")
    except csv.Error as error:
        raise UsageError(f"{where}, line {table.line_num}: {error}") from None
    for number in range(len(found)):
        parts = found.get(number)
        if parts is None:
            raise UsageError(f"{where} has {len(found):,} categories, but no category {number}")
        if sorted(parts) != list(range(len(parts))):
            raise UsageError(
                f"{where}: the column {layout.part} of category {number} must count 0, 1, ..."
            )
        if len(parts) > layout.most_parts:
            raise UsageError(
                f"{where}: category {number} has {len(parts)} rows, at most {layout.most_parts}"
                " are possible"
            )
    if not found:
        raise UsageError(f"{where} has no rows")
    return tuple(
        tuple(found[number][part] for part in range(len(found[number])))
        for number in range(len(found))
    )


def _places(header: list[str], layout: TableLayout, where: str) -> dict[str, int]:
    """Where the columns of a table stand that are needed."""
    wanted = [column.name for column in layout.needed]
    missing = [name for name in wanted if name not in header]
    if missing:
        raise UsageError(
            f"{where} has no column {', '.join(missing)}; needed are {', '.join(wanted)}"
        )
    twice = [name for name in wanted if header.count(name) > 1]
    if twice:
        raise UsageError(f"{where} has the column {twice[0]} twice")
    return {name: header.index(name) for name in wanted}


def _take_row(
    cells: list[str],
    places: dict[str, int],
    layout: TableLayout,
    found: dict[int, dict[int, Row]],
    where: str,
) -> None:
    """Put a row where it belongs in ``found``: by category, by part."""
    if len(cells) <= max(places.values()):
        raise UsageError(f"{where} has {len(cells)} cells, which are too few")
    row: dict[str, int | float] = {}
    for column in layout.needed:
        try:
            row[column.name] = column.parse(cells[places[column.name]].strip())
        except ValueError as error:
            raise UsageError(f"{where}, column {column.name}: {error}") from None
    number = 0 if layout.shared else int(row.pop(CATEGORY))
    part = int(row.pop(layout.part)) if layout.part else 0
    parts = found.setdefault(number, {})
    if part in parts:
        name = "" if layout.shared else f" of category {number}"
        which = f"{layout.part} {part}" if layout.part else "a row"
        raise UsageError(f"{where}: {which}{name} stands there twice")
    parts[part] = row


def rows_digest(layout: TableLayout, entries: Sequence[Rows]) -> str:
    """sha256 of all parameters, whatever the file looks like."""
    hashed = sha256()
    for rows in entries:
        hashed.update(pack("<q", len(rows)))
        for row in rows:
            for column in layout.columns:
                hashed.update(pack("<q" if column.kind == "int" else "<d", row[column.name]))
    return hashed.hexdigest()
