"""Published systems from files: the official CSV folders of FractalDB, or an .npz."""

from functools import lru_cache
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.core.errors import UsageError
from fdsl_gen.geometry.category_table import Row, Rows

_COLUMNS = "abcdefp"


@lru_cache(maxsize=4)
def read_systems(path: str) -> tuple[Rows, ...]:
    """The rows of systems of a folder of CSV files (a, b, c, d, e, f, p; by name) or an .npz.

    An .npz holds ``maps``, float64 (sum of N, 7), and ``offsets``, int (categories + 1,).

    Raises:
        UsageError: if they cannot be read.
    """
    place = Path(path)
    try:
        if place.is_dir():
            tables = [
                np.loadtxt(file, delimiter=",", ndmin=2) for file in sorted(place.glob("*.csv"))
            ]
        else:
            with place.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                maps, offsets = stored["maps"], stored["offsets"].tolist()
            tables = [maps[a:b] for a, b in pairwise(offsets)]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise UsageError(f"categories_from: cannot read {path}: {error}") from None
    if not tables:
        raise UsageError(f"categories_from: there are no CSV files in {path}")
    return tuple(_system(table, path, k) for k, table in enumerate(tables))


def _system(table: NDArray[np.float64], path: str, k: int) -> tuple[Row, ...]:
    if table.ndim != 2 or table.shape[1] != 7 or not len(table) or not np.isfinite(table).all():
        raise UsageError(
            f"categories_from: category {k} of {path} is not rows of seven numbers a,b,c,d,e,f,p"
        )
    rows = np.asarray(table, np.float64).tolist()
    return tuple(dict(zip(_COLUMNS, row, strict=True)) for row in rows)


def systems_digest(entries: tuple[Rows, ...]) -> str:
    """sha256 of coefficients and running sums of probabilities."""
    hashed = sha256()
    for rows in entries:
        table = np.array([[row[name] for name in _COLUMNS] for row in rows], "<f8")
        reached, sums = 0.0, []
        for p in table[:, 6].tolist():
            reached += p
            sums.append(reached)
        hashed.update(len(rows).to_bytes(8, "little"))
        hashed.update(np.ascontiguousarray(table[:, :6]).tobytes())
        hashed.update(np.array(sums, "<f8").tobytes())
    return hashed.hexdigest()
