"""Tars of a dataset of the Hugging Face Hub: what is there, by one request of its library."""

import re
from typing import Any

from fdsl_gen.core.errors import StorageError, UsageError
from fdsl_gen.core.extras import missing
from fdsl_gen.storage.base import Version
from fdsl_gen.storage.clouds import hub_address
from fdsl_gen.storage.objects import ObjectStore
from fdsl_gen.storage.options import StorageOptions

_URL = re.compile(r"hf://datasets/([\w.-]+/[\w.-]+)(?:@([\w.-]+))?(?:/(.*?))?/?")


def hub_tars(url: str, options: StorageOptions) -> tuple[ObjectStore, dict[str, Version]]:
    """The files of ``hf://datasets/OWNER/NAME``, of a revision ``@REV``, or of a folder in it.

    The revision is looked up once, so that all that is read is of one state.

    Raises:
        UsageError: if there is no such dataset, or this account may not read it.
        StorageError: if the Hub does not answer.
    """
    found = _URL.fullmatch(url)
    if found is None:
        raise UsageError(f"{url}: a dataset of the Hugging Face Hub is hf://datasets/OWNER/NAME")
    repo_id, revision, folder = found[1], found[2], found[3] or ""
    if ".." in folder.split("/"):
        raise UsageError(f"{url}: '..' means nothing on the Hub")
    try:
        from huggingface_hub import HfApi
    except ImportError:
        raise missing("huggingface_hub", "the Hub") from None
    api: Any = HfApi(endpoint=hub_address())
    try:
        commit = api.repo_info(repo_id, repo_type="dataset", revision=revision).sha
        tree = list(
            api.list_repo_tree(
                repo_id, folder or None, recursive=True, revision=commit, repo_type="dataset"
            )
        )
    except Exception as error:  # of many kinds, whose messages may quote requests
        raise _translated(error, repo_id) from None
    start = len(folder) + 1 if folder else 0
    files = {
        entry.path[start:]: Version(entry.size, entry.lfs.sha256 if entry.lfs else entry.blob_id)
        for entry in tree
        if hasattr(entry, "blob_id")
    }
    prefix = f"{commit}/{folder}" if folder else commit
    return ObjectStore("hf", repo_id, prefix, options), files


def _translated(error: Exception, repo_id: str) -> Exception:
    """What a failure of the Hub or of its library means, without any secret in it."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403, 404):
        return UsageError(
            f"the Hub has no dataset {repo_id} that this account may read ({status}); correct"
            " OWNER/NAME, or log in with hf auth login or HF_TOKEN"
        )
    if status is not None:
        return StorageError(f"the Hub failed at {repo_id} ({status}); run this again later")
    return StorageError(
        f"the Hub cannot be reached ({type(error).__name__}); check the network, then run the same"
        " command again"
    )
