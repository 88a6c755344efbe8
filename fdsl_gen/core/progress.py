"""How far a run is: a bar on a terminal, a plain line every 30 seconds otherwise."""

import sys
import time
from typing import Any

import click
from tqdm import tqdm

# Share, counts, time, rate: all of it fits beside a bar of 80 columns.
BAR = "{percentage:3.0f} %|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"

_LINE_SECONDS = 30.0


class Progress:
    """An observer of a run that writes to standard error. Use as a context."""

    def __init__(self, unit: str = "img") -> None:
        self._unit = unit
        self._bar: tqdm[Any] | None = None
        self._total = self._made = 0
        self._began = self._lined = time.monotonic()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    @property
    def seconds(self) -> float:
        """Since the begin."""
        return time.monotonic() - self._began

    @property
    def made(self) -> int:
        """Images made in this run."""
        return self._made

    def begin(self, *, images: int, done: int) -> None:
        if self._bar is not None:  # of the stage before
            self._bar.close()
            self._bar = None
        self._total, self._made = images, 0
        self._began = self._lined = time.monotonic()
        if done:
            self.note(f"{done:,} {self._unit} were done before, {images:,} are left")
        if sys.stderr.isatty() and images:
            self._bar = tqdm(
                total=images, unit=self._unit, dynamic_ncols=True, smoothing=0.1, bar_format=BAR
            )

    def images(self, count: int) -> None:
        self._made += count
        if self._bar is not None:
            self._bar.update(count)
        elif time.monotonic() - self._lined > _LINE_SECONDS:
            self._lined = time.monotonic()
            rate = self._made / self.seconds
            left = (self._total - self._made) / rate if rate > 0 else float("inf")
            click.echo(
                f"{self._made:,} of {self._total:,} {self._unit}, {rate:,.0f} {self._unit}/s,"
                f" {tqdm.format_interval(int(left)) if rate > 0 else '?'} left",
                err=True,
            )

    def note(self, text: str) -> None:
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            click.echo(text, err=True)
