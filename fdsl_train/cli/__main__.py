"""The process of ``fdsl-train``: signals are handled before anything slow is imported."""

from collections.abc import Callable
from typing import Any

from fdsl_gen.core import signals
from fdsl_train.cli import AFTER_A_SIGNAL, NAME


def _load() -> Callable[[], Any]:
    from fdsl_train.cli.main import main

    return main


def run() -> None:
    """Entry point."""
    signals.run(NAME, AFTER_A_SIGNAL, _load)


if __name__ == "__main__":
    run()
