"""Texts that name tars of others, told from folders and datasets of ours without a look."""

from pathlib import Path

from fdsl_gen.storage.url import scheme_of

WEB = ("https", "http")


def is_tar_text(text: str) -> bool:
    """Whether a text names tars by a pattern, or a place that only tars of others can be at."""
    if (scheme_of(text) or "") in (*WEB, "hf"):
        return True
    return text.endswith(".tar") and not Path(text).is_dir()
