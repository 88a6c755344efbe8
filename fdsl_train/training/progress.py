"""How a run shows that it lives: a bar on a terminal, a plain line every 30 seconds otherwise."""

import logging
import shutil
import sys
import time
from typing import NoReturn

from tqdm import tqdm

from fdsl_gen.core.progress import BAR

logger = logging.getLogger(__name__)

_EVERY = 30.0  # seconds between plain lines
_ROOM = 110  # columns that all numbers need beside a bar; narrower ones show the loss
_FIRST = 5.0  # seconds until the first of them: the time left is worth knowing early


def _clock(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Progress:
    """Follows the steps of a run.

    Args:
        total: steps of the whole run.
        start: steps done before this process.
        quiet: whether this process leaves the bar to another one.
    """

    def __init__(self, total: int, start: int, *, quiet: bool = False) -> None:
        self._total = total
        self._start = start
        self._began = time.monotonic()
        self._next = self._began + _FIRST
        self._values: dict[str, str] = {}
        self._bar: tqdm[NoReturn] | None = None
        if sys.stderr.isatty() and not quiet:
            self._bar = tqdm(
                total=total, initial=start, unit="step", dynamic_ncols=True, bar_format=BAR
            )

    def show(self, values: dict[str, float]) -> None:
        """Numbers of the last logged step: loss, lr, images_per_s, data_wait and mfu (shares)."""
        self._values = {
            "loss": f"{values['loss']:.4f}",
            "lr": f"{values['lr']:.2e}",
            "images/s": f"{values['images_per_s']:.0f}",
            "data wait": f"{100 * values['data_wait']:.0f} %",
        }
        if "mfu" in values:
            self._values["MFU"] = f"{100 * values['mfu']:.0f} %"
        if self._bar is not None:
            shown = list(self._values.items())
            if shutil.get_terminal_size().columns < _ROOM:
                shown = shown[:1]
            self._bar.set_postfix_str(
                ", ".join(f"{name} {value}" for name, value in shown), refresh=False
            )

    def step(self, done: int) -> None:
        """``done`` steps of the run are done."""
        if self._bar is not None:
            self._bar.update(1)
            return
        now = time.monotonic()
        if now < self._next or done == self._total:
            return
        self._next = now + _EVERY
        left = (now - self._began) / (done - self._start) * (self._total - done)
        numbers = "".join(f", {name} {value}" for name, value in self._values.items())
        logger.info(f"step {done}/{self._total}{numbers}, {_clock(left)} to go")

    def close(self) -> None:
        """Give the terminal back."""
        if self._bar is not None:
            self._bar.close()

    @property
    def elapsed(self) -> str:
        """Time since the beginning, in words."""
        return _clock(time.monotonic() - self._began)
