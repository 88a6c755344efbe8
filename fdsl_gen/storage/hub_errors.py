"""What failures of the Hugging Face Hub, or of its library, mean, without any secret in it."""

from fdsl_gen.core.errors import FdslError, ShardsFailed, StorageError, UsageError

_NETWORK = ("httpx", "httpcore", "requests", "urllib3")
_LATER = "then run the same command again: what was sent is not sent again"


def _status_of(error: Exception) -> int | None:
    """The number of the answer, if there was one."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def not_sent(error: Exception, repo_id: str) -> FdslError:
    """Why something could not be sent to ``repo_id``, OWNER/NAME."""
    kind = type(error).__name__
    status = _status_of(error)
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


def not_read(error: Exception, repo_id: str, kind: str) -> FdslError:
    """Why ``repo_id``, OWNER/NAME, could not be read; ``kind`` is dataset or model."""
    status = _status_of(error)
    if status in (401, 403, 404):
        return UsageError(
            f"the Hub has no {kind} {repo_id} that this account may read ({status}); correct"
            " OWNER/NAME, or log in with hf auth login or HF_TOKEN"
        )
    if status is not None:
        return StorageError(f"the Hub failed at {repo_id} ({status}); run this again later")
    return StorageError(
        f"the Hub cannot be reached ({type(error).__name__}); check the network, then run the same"
        " command again"
    )
