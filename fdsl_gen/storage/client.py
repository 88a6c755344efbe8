"""obstore clients: one for each process, bucket and settings; never carried over a fork or pickle.

obstore was chosen over boto3 because it is one typed library for three clouds. Its threads do not
live on in a forked process, where every request would hang: that is refused with a sentence.
"""

import contextlib
import os
import re
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.extras import missing
from fdsl_gen.storage.options import StorageOptions, check_endpoint
from fdsl_gen.storage.url import ObjectUrl

_CONNECT_SECONDS = 10.0
_LONGEST_RETRY = timedelta(hours=1)  # the number of retries is what limits them
_EXTRA = {"s3": "s3", "gs": "gs", "az": "az", "https": "s3", "http": "s3", "hf": "hf"}

_clients: dict[tuple[ObjectUrl, StorageOptions], "Client"] = {}
_lock = threading.Lock()
_used_by_parent = False


class Client(NamedTuple):
    """A client of a prefix, and the address of its service: scheme, host and port."""

    store: Any
    endpoint: str


def _forget() -> None:
    """A forked process cannot use its parent's connections, nor wait for its lock."""
    global _lock, _used_by_parent
    _lock = threading.Lock()
    _used_by_parent = _used_by_parent or bool(_clients)
    _clients.clear()


os.register_at_fork(after_in_child=_forget)


def used_here() -> bool:
    """Whether this process has used object storage, so that its forked children cannot."""
    return bool(_clients)


def client_for(place: ObjectUrl, options: StorageOptions) -> Client:
    """The client of this process for a prefix; may be used by several threads.

    Raises:
        UsageError: if obstore is not installed, the settings cannot be, or this process was forked
            from one that has used object storage.
    """
    if _used_by_parent:
        raise UsageError(
            "object storage cannot be used in a process that was forked from one that has used it;"
            " start processes by spawn or forkserver"
        )
    with _lock:
        key = (place, options)
        if key not in _clients:
            _clients[key] = _connect(place, options)
        return _clients[key]


def _connect(place: ObjectUrl, options: StorageOptions) -> Client:
    try:
        from obstore.exceptions import BaseError
    except ImportError:
        raise missing("obstore", "object storage", _EXTRA[place.scheme]) from None
    connect: Callable[..., Client] = _CONNECT[place.scheme]
    settings: dict[str, Any] = {
        "prefix": place.prefix or None,
        "client_options": {
            "allow_http": True,  # the address says which
            "connect_timeout": timedelta(seconds=min(_CONNECT_SECONDS, options.timeout)),
            "read_timeout": timedelta(seconds=options.timeout),
            "timeout": timedelta(days=1),  # of a whole answer: a large file over a slow line
        },
        "retry_config": {
            "max_retries": options.retries,
            "retry_timeout": _LONGEST_RETRY,
            "backoff": {
                "init_backoff": timedelta(seconds=0.1),
                "max_backoff": timedelta(seconds=5),
                "base": 2,
            },
        },
    }
    try:
        return connect(place.bucket, options, settings)
    except (BaseError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(
            f"the settings of object storage for {place.scheme}://{place.bucket} are wrong"
            f" ({type(error).__name__})"
        ) from None


def _address(url: str) -> str:
    """Scheme, host and port of an address, for messages."""
    check_endpoint(url)
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")


def _s3(bucket: str, options: StorageOptions, settings: dict[str, Any]) -> Client:
    from obstore.store import S3Store

    env = os.environ
    endpoint = options.endpoint_url or env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL")
    region = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION")
    keys = "AWS_ACCESS_KEY_ID" in env and "AWS_SECRET_ACCESS_KEY" in env
    if env.get("AWS_PROFILE") or not keys or not (region or endpoint):
        found = _from_boto3()
        if found is not None:
            settings["credential_provider"] = found.credentials
            region, endpoint = region or found.region, endpoint or found.endpoint
    if endpoint is not None:
        check_endpoint(endpoint)
        settings["endpoint"] = endpoint.rstrip("/")
    region = region or "us-east-1"
    # One request for one object: several services lack the request that deletes many.
    store = S3Store(bucket, region=region, disable_bulk_delete=True, **settings)
    return Client(store, _address(endpoint or f"https://s3.{region}.amazonaws.com"))


class _Boto3(NamedTuple):
    credentials: Callable[[], Any]
    region: str | None
    endpoint: str | None


def _from_boto3() -> _Boto3 | None:
    """What the AWS configuration files say: profiles, single sign-on, roles; None without boto3.

    obstore reads the environment only. Credentials are asked for again when they may have expired.
    """
    try:
        import boto3
        from botocore.exceptions import BotoCoreError
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError:
        return None
    wrong = UsageError(
        "no usable credentials for s3://; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or"
        " AWS_PROFILE"
    )
    try:
        session = boto3.session.Session()
        if session.get_credentials() is None:
            raise wrong
        client = session.client("s3", region_name=session.region_name or "us-east-1")
        endpoint = client.meta.endpoint_url
        provider = Boto3CredentialProvider(session)
    except BotoCoreError as error:
        raise UsageError(
            f"the settings of object storage are wrong: {_kind_of(error)}; check AWS_PROFILE"
        ) from None
    except ValueError as error:
        raise (error if isinstance(error, UsageError) else wrong) from None

    def credentials() -> Any:
        try:
            return provider()
        except Exception as error:  # botocore's, whose messages may quote settings
            raise UsageError(
                f"no usable credentials for s3:// ({_kind_of(error)}); log in again, or set"
                " AWS_PROFILE"
            ) from None

    is_aws = (urlsplit(endpoint).hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn"))
    return _Boto3(credentials, session.region_name, None if is_aws else endpoint)


def _kind_of(error: Exception) -> str:
    """What kind of failure it is. Messages may quote addresses and settings, so they are left."""
    words = "".join(f" {c.lower()}" if c.isupper() else c for c in type(error).__name__)
    return words.strip().removesuffix(" error")


def _gs(bucket: str, options: StorageOptions, settings: dict[str, Any]) -> Client:
    from obstore.store import GCSStore

    emulator = os.environ.get("STORAGE_EMULATOR_HOST")
    if emulator and "://" not in emulator:
        emulator = f"http://{emulator}"
    endpoint = options.endpoint_url or emulator
    if endpoint is not None:
        check_endpoint(endpoint)
        settings["base_url"] = endpoint.rstrip("/")
    if emulator:  # it takes anything; obstore asks for a token before it writes
        settings["skip_signature"] = True
        settings["credential_provider"] = lambda: {"token": "emulator", "expires_at": None}
    return Client(
        GCSStore(bucket, **settings), _address(endpoint or "https://storage.googleapis.com")
    )


def _az(container: str, options: StorageOptions, settings: dict[str, Any]) -> Client:
    from obstore.store import AzureStore

    found = _connection_string(os.environ.get("AZURE_STORAGE_CONNECTION_STRING", ""))
    endpoint = options.endpoint_url or found.pop("endpoint", None)
    settings |= found
    account = settings.get("account_name") or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME")
    if not account:
        raise UsageError(
            "no storage account for az://; set AZURE_STORAGE_ACCOUNT_NAME with"
            " AZURE_STORAGE_ACCOUNT_KEY, or AZURE_STORAGE_CONNECTION_STRING"
        )
    if endpoint is not None:
        check_endpoint(endpoint)
        settings["endpoint"] = endpoint.rstrip("/")
    return Client(
        AzureStore(container, **settings),
        _address(endpoint or f"https://{account}.blob.core.windows.net"),
    )


def _connection_string(text: str) -> dict[str, str]:
    """What a connection string of Azure says, which obstore does not read."""
    fields = dict(part.partition("=")[::2] for part in text.strip().split(";") if "=" in part)
    names = {
        "AccountName": "account_name",
        "AccountKey": "account_key",
        "SharedAccessSignature": "sas_key",
        "BlobEndpoint": "endpoint",
    }
    found = {names[key]: value for key, value in fields.items() if key in names}
    if "endpoint" in found and "account_name" not in found:
        with contextlib.suppress(ValueError):  # https://ACCOUNT.blob.core.windows.net
            host = re.match(r"([a-z0-9]+)\.blob\.", urlsplit(found["endpoint"]).hostname or "")
            found |= {"account_name": host[1]} if host else {}
    return found


def _web(scheme: str) -> Callable[..., Client]:
    """Files of a web server, which can be read by name and not be listed."""

    def connect(host: str, options: StorageOptions, settings: dict[str, Any]) -> Client:
        return _http(f"{scheme}://{host}", settings, {})

    return connect


def _hf(repo_id: str, options: StorageOptions, settings: dict[str, Any]) -> Client:
    """Files of a dataset of the Hub; the prefix begins with the revision."""
    try:
        from huggingface_hub import get_token
    except ImportError:
        raise missing("huggingface_hub", "the Hub") from None
    token = get_token()
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return _http(f"{hub_address()}/datasets/{repo_id}/resolve", settings, headers)


def _http(url: str, settings: dict[str, Any], headers: dict[str, str]) -> Client:
    from obstore.store import HTTPStore

    prefix = settings.pop("prefix")
    address = _address(url)
    client_options = settings.pop("client_options") | {"default_headers": headers}
    where = f"{url}/{prefix}" if prefix else url
    return Client(HTTPStore.from_url(where, client_options=client_options, **settings), address)


def hub_address() -> str:
    """Address of the Hugging Face Hub, which its library takes from ``HF_ENDPOINT``, too."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


_CONNECT: dict[str, Callable[..., Client]] = {
    "s3": _s3,
    "gs": _gs,
    "az": _az,
    "https": _web("https"),
    "http": _web("http"),
    "hf": _hf,
}
