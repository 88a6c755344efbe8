"""Every failure a user can meet, with the exit code that the commands return for it."""

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of the commands."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    SHARDS_FAILED = 3
    MISMATCH = 4
    WALLTIME = 75
    INTERRUPTED = 130


def visible(text: str) -> str:
    """A text in one line: what is no printable character, and may move a cursor, as its escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class FdslError(Exception):
    """Base of all errors that are one clear sentence to the user, whatever names it quotes.

    Attributes:
        everywhere: whether every process of a training run meets it, so that one may speak for all.
    """

    exit_code = Exit.UNEXPECTED
    all_ranks = True

    def __str__(self) -> str:
        return visible(super().__str__())


class UsageError(FdslError, ValueError):
    """Input that cannot be right: an option, a recipe, a folder."""

    exit_code = Exit.USAGE


class RenderError(FdslError):
    """An image that these settings cannot give."""

    exit_code = Exit.USAGE


class ShardsFailed(FdslError):
    """Some shards could not be written; what was finished stays."""

    exit_code = Exit.SHARDS_FAILED


class StorageError(FdslError):
    """Object storage did not answer or failed; what was finished stays."""

    exit_code = Exit.SHARDS_FAILED


class Mismatch(FdslError):
    """Bytes or pixels on disk are not what the manifest or the recipe says."""

    exit_code = Exit.MISMATCH


class Stopped(BaseException):
    """A signal announced the end of the allotted time; passes through like KeyboardInterrupt."""

    exit_code = Exit.WALLTIME
