"""Copying a finished dataset to the Hugging Face Hub, with the Hub's own uploader.

It goes on after an interruption by itself, sends what is there already no second time, and commits
large folders in parts.
"""

from pathlib import Path
from typing import Any

from fdsl_gen.archive.paths import MANIFEST
from fdsl_gen.core.extras import missing
from fdsl_gen.storage.hub_errors import not_sent
from fdsl_gen.storage.manifest import read_manifest


def upload_to_hub(folder: Path, repo_id: str) -> str:
    """Copy a dataset folder into a dataset repository, which is made if it does not exist.

    Args:
        folder: finished dataset.
        repo_id: OWNER/NAME.

    Returns:
        The address of the repository.

    Raises:
        UsageError: if the folder is not finished, or huggingface_hub is not installed.
        UsageError: if the Hub refuses the account or the name.
        StorageError: if it fails or cannot be reached.
    """
    read_manifest(folder)
    try:
        from huggingface_hub import HfApi
    except ImportError:
        raise missing("huggingface_hub", "the Hub") from None
    api: Any = HfApi()
    try:
        api.create_repo(repo_id, repo_type="dataset", exist_ok=True)
        api.upload_folder(
            repo_id=repo_id,
            repo_type="dataset",
            folder_path=folder,
            ignore_patterns=[MANIFEST, ".*", "*/.*"],
            commit_message="Add shards",
        )
        api.upload_file(
            repo_id=repo_id,
            repo_type="dataset",
            path_or_fileobj=folder / MANIFEST,
            path_in_repo=MANIFEST,
            commit_message="Add the manifest: all is there",
        )
    except Exception as error:  # of many kinds, whose messages may quote requests
        raise not_sent(error, repo_id) from None
    return f"hf://datasets/{repo_id}"
