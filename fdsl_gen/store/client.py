"""boto3 clients: one for each process and settings, never carried over a fork or a pickle."""

import os
import threading
from typing import Any
from urllib.parse import urlsplit

from fdsl_gen.core.errors import UsageError
from fdsl_gen.store.options import S3Options, check_endpoint

CONNECT_SECONDS = 10.0
_CONNECTIONS = 64

_clients: dict[S3Options, Any] = {}
_lock = threading.Lock()


def _forget() -> None:
    """A forked process must not use its parent's connections, nor wait for its lock."""
    global _lock
    _lock = threading.Lock()
    _clients.clear()


os.register_at_fork(after_in_child=_forget)


def client_for(options: S3Options) -> Any:
    """The S3 client of this process for these settings; may be used by several threads.

    Raises:
        UsageError: if boto3 is not installed or the settings cannot be.
    """
    with _lock:
        if options not in _clients:
            _clients[options] = _connect(options)
        return _clients[options]


def _connect(options: S3Options) -> Any:
    try:
        import boto3
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise UsageError('object storage needs boto3: pip install "fdsl[s3]"') from None
    try:
        session = boto3.session.Session(
            profile_name=options.profile, region_name=options.region or None
        )
        client = _client(session, options, options.checksums)
        check_endpoint(client.meta.endpoint_url)
        if options.checksums == "auto" and not _is_aws(client.meta.endpoint_url):
            client = _client(session, options, "when_required")
    except BotoCoreError as error:
        raise UsageError(f"the settings of object storage are wrong: {kind_of(error)}") from None
    except ValueError as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError("the settings of object storage are wrong: an invalid endpoint") from None
    return client


def _client(session: Any, options: S3Options, checksums: str) -> Any:
    from botocore.config import Config

    settings: dict[str, Any] = {
        "connect_timeout": min(CONNECT_SECONDS, options.timeout),
        "read_timeout": options.timeout,
        "max_pool_connections": _CONNECTIONS,
        "tcp_keepalive": True,
        "retries": {
            "max_attempts": options.retries,
            "mode": os.environ.get("AWS_RETRY_MODE", "standard"),
        },
    }
    if options.addressing_style != "auto":
        settings["s3"] = {"addressing_style": options.addressing_style}
    if checksums != "auto":
        settings["request_checksum_calculation"] = checksums
        settings["response_checksum_validation"] = checksums
    return session.client("s3", endpoint_url=options.endpoint_url, config=Config(**settings))


def _is_aws(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


def kind_of(error: Exception) -> str:
    """What kind of failure it is. Messages may quote addresses and settings, so they are left."""
    words = "".join(f" {c.lower()}" if c.isupper() else c for c in type(error).__name__)
    return words.strip().removesuffix(" error")


def endpoint_of(options: S3Options) -> str:
    """The address of the service, for messages: scheme, host and port."""
    parts = urlsplit(client_for(options).meta.endpoint_url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}"
