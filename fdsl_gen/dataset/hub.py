"""Copying a finished dataset to the Hugging Face Hub, with the Hub's own uploader.

It goes on after an interruption by itself and sends what is there already no second time.
"""

from pathlib import Path
from typing import Any

from fdsl_gen.archive.manifest import MANIFEST, read_manifest
from fdsl_gen.core.errors import StorageError, UsageError


def upload_to_hub(folder: Path, repo_id: str) -> str:
    """Copy a dataset folder into a dataset repository, which is made if it does not exist.

    Args:
        folder: finished dataset.
        repo_id: OWNER/NAME.

    Returns:
        The address of the repository.

    Raises:
        UsageError: if the folder is not finished, or huggingface_hub is not installed.
        StorageError: if the Hub refuses or fails.
    """
    read_manifest(folder)
    try:
        from huggingface_hub import HfApi
    except ImportError:
        raise UsageError('the Hub needs huggingface_hub: pip install "fdsl[hf]"') from None
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
        raise StorageError(
            f"the Hub did not take {repo_id} ({type(error).__name__}); log in with"
            " hf auth login or HF_TOKEN, then run the same command again"
        ) from None
    return f"hf://datasets/{repo_id}"
