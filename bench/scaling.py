"""Two workers against one: images a second in the steady state of a whole run."""

import statistics
import tempfile
import time
from pathlib import Path

from fdsl_gen.build.generate import generate
from fdsl_gen.executors import Silent
from fdsl_gen.recipe.recipe import Recipe

RUNS = 5


class Clock(Silent):
    """Notes when images were reported."""

    def __init__(self) -> None:
        self.times: list[tuple[float, int]] = []
        self.made = 0

    def images(self, count: int) -> None:
        self.made += count
        self.times.append((time.perf_counter(), self.made))

    def rate(self) -> float:
        """Images a second between a tenth and nine tenths of the run."""
        inside = [(t, n) for t, n in self.times if 0.1 * self.made <= n <= 0.9 * self.made]
        (first, low), (last, high) = inside[0], inside[-1]
        return (high - low) / (last - first)


def steady_rate(recipe: Recipe, workers: int) -> float:
    """Images a second of a whole run with that many workers, without its start and end."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        generate(recipe, Path(folder) / "set", workers=workers, observer=clock)
    return clock.rate()


def scaling_row(recipe: Recipe) -> tuple[float, float]:
    """Medians of alternating runs with one and with two workers."""
    one, two = [], []
    for _ in range(RUNS):
        one.append(steady_rate(recipe, 1))
        two.append(steady_rate(recipe, 2))
    return statistics.median(one), statistics.median(two)
