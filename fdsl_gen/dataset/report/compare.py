"""How far two datasets are apart."""

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.dataset.report.collect import Report


def distances(one: Report, other: Report) -> dict[str, float]:
    """The distance of each figure that both have, from 0 (equal) to 1 (nothing in common).

    For columns, the Kolmogorov-Smirnov distance: the greatest difference between the parts of the
    images that have at most a value. For gray levels and labels, half the sum of the differences of
    their parts (total variation).
    """
    found = {
        name: kolmogorov_smirnov(column, other.columns[name])
        for name, column in one.columns.items()
        if name in other.columns
    }
    found["gray levels"] = total_variation(one.grays, other.grays)
    if one.labels and other.labels:
        labels = sorted(one.labels | other.labels)
        counts = [np.array([r.labels[label] for label in labels]) for r in (one, other)]
        found["labels"] = total_variation(*counts)
    return found


def kolmogorov_smirnov(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """The distance of two samples, each (N,); values that are not there (NaN) are left out."""
    a, b = (np.sort(values[~np.isnan(values)]) for values in (one, other))
    if not len(a) or not len(b):
        return float(len(a) != len(b))
    at = np.concatenate([a, b])
    below = [np.searchsorted(values, at, "right") / len(values) for values in (a, b)]
    return float(np.abs(below[0] - below[1]).max())


def total_variation(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    """The distance of two histograms."""
    return float(np.abs(one / max(one.sum(), 1) - other / max(other.sum(), 1)).sum() / 2)
