"""Trained models of the Hugging Face Hub: ``hf://OWNER/NAME``, a revision after ``@``."""

import re
from pathlib import Path
from typing import Any

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.extras import missing
from fdsl_gen.storage.clouds import hub_address
from fdsl_gen.storage.hub_errors import not_read

SCHEME = "hf://"
_URL = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@([\w.-]+))?/?")
_FILES = ["config.json", "model.safetensors", "segmenter.json", "segmenter.safetensors"]


def parse_model_url(url: str) -> tuple[str, str | None]:
    """OWNER/NAME and the revision of ``hf://OWNER/NAME@REVISION``.

    Raises:
        UsageError: if it is something else.
    """
    found = _URL.fullmatch(url)
    if found is None:
        raise UsageError(f"{url}: a model of the Hugging Face Hub is hf://OWNER/NAME")
    return found[1], found[2]


def local_weights(place: str | Path) -> Path:
    """Where weights are on this machine: a path as it is, a model of the Hub once it is fetched.

    The Hub's library keeps what it fetched (``HF_HOME``), and fetches nothing twice.

    Raises:
        UsageError: if the Hub has no such model for this account, or it holds no weights that can
            be read without executing anything.
        StorageError: if the Hub does not answer.
    """
    if isinstance(place, Path) or not place.startswith(SCHEME):
        return Path(place)
    repo_id, revision = parse_model_url(place)
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise missing("huggingface_hub", "the Hub") from None
    fetch: Any = snapshot_download
    try:
        found = fetch(repo_id, revision=revision, allow_patterns=_FILES, endpoint=hub_address())
    except Exception as error:  # of many kinds, whose messages may quote requests
        raise not_read(error, repo_id, "model") from None
    folder = Path(found)
    for name in _FILES[:2]:
        if not (folder / name).exists():
            raise UsageError(
                f"{place} has no {name}; a model for fdsl-train is one that fdsl-train or timm"
                " pushed, with safetensors"
            )
    return folder
