"""Long searches that say what they are doing."""

import logging
import time

_LOG = logging.getLogger("fdsl_gen.search")
_FIRST, _NEXT = 5.0, 30.0  # seconds


class Patience:
    """Tells from time to time how far a search is; most searches end before the first time.

    Loops call it once a round, in Python, where an interrupt is noticed.
    """

    def __init__(self, what: str, most: int) -> None:
        """
        Args:
            what: is looked for, to be read after "looking for".
            most: candidates that are tried at most.
        """
        self._what, self._most = what, most
        self._tell_at = time.monotonic() + _FIRST

    def tried(self, count: int) -> None:
        """``count`` candidates were tried so far, without success."""
        if time.monotonic() >= self._tell_at:
            self._tell_at = time.monotonic() + _NEXT
            # A warning, so that Python shows it where nobody set up logging.
            _LOG.warning(
                "looking for %s: %s of %s tried", self._what, f"{count:,}", f"{self._most:,}"
            )
