"""Copying a finished dataset to the Hugging Face Hub, with the Hub's own uploader.

It goes on after an interruption by itself and sends what is there already no second time.
"""

from pathlib import Path
from typing import Any

from fdsl_gen.archive.paths import MANIFEST
from fdsl_gen.core.errors import ShardsFailed, StorageError, UsageError
from fdsl_gen.core.extras import missing
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
        raise _translated(error, repo_id) from None
    return f"hf://datasets/{repo_id}"


_NETWORK = ("httpx", "httpcore", "requests", "urllib3")
_LATER = "then run the same command again: what was sent is not sent again"


def _translated(error: Exception, repo_id: str) -> Exception:
    """What a failure of the Hub or of its library means, without any secret in it."""
    kind = type(error).__name__
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 401 or kind == "LocalTokenNotFoundError":
        return UsageError(
            f"the Hub does not know who sends {repo_id}; log in with hf auth login or HF_TOKEN,"
            f" {_LATER}"
        )
    if status == 403:
        return UsageError(
            f"the Hub does not let this account write to {repo_id} (403); use a token that may"
            " write, or a place of your own"
        )
    if status == 404:
        return UsageError(f"the Hub has no place {repo_id} (404); correct OWNER/NAME")
    if kind == "HFValidationError":
        return UsageError(f"{repo_id} is not a name that the Hub takes; give OWNER/NAME")
    if status is not None and (status == 429 or status >= 500):
        return StorageError(f"the Hub failed at {repo_id} ({status}); wait, {_LATER}")
    if status is not None:
        return StorageError(f"the Hub did not take {repo_id} ({status})")
    module = type(error).__module__.partition(".")[0]
    offline = kind == "OfflineModeIsEnabled" or module in _NETWORK
    if offline or isinstance(error, ConnectionError | TimeoutError):
        return StorageError(f"the Hub cannot be reached ({kind}); check the network, {_LATER}")
    if isinstance(error, OSError) and error.errno is not None:
        named = f" {error.filename}" if error.filename else ""
        return ShardsFailed(f"cannot read or write{named}: {error.strerror}; {_LATER}")
    return StorageError(f"the Hub did not take {repo_id} ({kind}); {_LATER}")
