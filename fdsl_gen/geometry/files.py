"""Published systems from files: the official CSV folders of FractalDB, or an .npz."""

from functools import lru_cache
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.core.errors import UsageError

System = tuple[NDArray[np.float64], NDArray[np.float64]]  # coefficients (N, 6), p_1 + ... + p_j


@lru_cache(maxsize=4)
def read_systems(path: str) -> tuple[System, ...]:
    """The systems of a folder of CSV files (rows a, b, c, d, e, f, p; sorted by name) or an .npz.

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


def _system(table: NDArray[np.float64], path: str, k: int) -> System:
    if table.ndim != 2 or table.shape[1] != 7 or not len(table) or not np.isfinite(table).all():
        raise UsageError(
            f"categories_from: category {k} of {path} is not rows of seven numbers a,b,c,d,e,f,p"
        )
    table = np.ascontiguousarray(table, np.float64)
    sums = []
    reached = 0.0
    for p in table[:, 6].tolist():
        reached += p
        sums.append(reached)
    return np.ascontiguousarray(table[:, :6]), np.array(sums)


def systems_digest(systems: tuple[System, ...]) -> str:
    """sha256 of coefficients and probabilities."""
    hashed = sha256()
    for affine_N6, cumulative_N in systems:
        hashed.update(len(affine_N6).to_bytes(8, "little"))
        hashed.update(affine_N6.astype("<f8").tobytes())
        hashed.update(cumulative_N.astype("<f8").tobytes())
    return hashed.hexdigest()
