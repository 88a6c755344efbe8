"""The clouds, and web servers: how each is reached, and what to say of credentials.

One row of :data:`CLOUDS` is all that there is of a cloud that obstore knows.
"""

import contextlib
import os
import re
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.extras import missing
from fdsl_gen.storage.options import StorageOptions, check_endpoint


class Client(NamedTuple):
    """A client of a prefix, and the address of its service: scheme, host and port."""

    store: Any
    endpoint: str


class Cloud(NamedTuple):
    """What is different from one to the next.

    Attributes:
        connect: bucket, options and settings of obstore -> client.
        extra: of this package, which has to be installed.
        credentials: what to check where they are refused.
        writable: whether datasets can be made and listed there; else its files are only read.
    """

    connect: Callable[[str, StorageOptions, dict[str, Any]], Client]
    extra: str
    credentials: str
    writable: bool = True


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


_ADDRESS = "the address: files of web servers are read without credentials"
CLOUDS = {
    "s3": Cloud(
        _s3, "s3", "the credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE)"
    ),
    "gs": Cloud(
        _gs,
        "gs",
        "the credentials (GOOGLE_APPLICATION_CREDENTIALS, or gcloud auth application-default"
        " login)",
    ),
    "az": Cloud(
        _az,
        "az",
        "the credentials (AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or"
        " AZURE_STORAGE_SAS_TOKEN, or AZURE_STORAGE_CONNECTION_STRING)",
    ),
    "https": Cloud(_web("https"), "s3", _ADDRESS, writable=False),
    "http": Cloud(_web("http"), "s3", _ADDRESS, writable=False),
    "hf": Cloud(_hf, "hf", "who you are for the Hub (hf auth login, or HF_TOKEN)", writable=False),
}
