"""Tars of a dataset of the Hugging Face Hub: what is there, by one request of its library."""

import re
from typing import Any

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.extras import missing
from fdsl_gen.storage.base import Version
from fdsl_gen.storage.clouds import hub_address
from fdsl_gen.storage.hub_errors import not_read
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
        raise not_read(error, repo_id, "dataset") from None
    start = len(folder) + 1 if folder else 0
    files = {
        entry.path[start:]: Version(entry.size, entry.lfs.sha256 if entry.lfs else entry.blob_id)
        for entry in tree
        if hasattr(entry, "blob_id")
    }
    prefix = f"{commit}/{folder}" if folder else commit
    return ObjectStore("hf", repo_id, prefix, options), files
