"""How to reach object storage: what the usual environment variables cannot say."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from fdsl_gen.core.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class StorageOptions:
    """Settings of a client; credentials, region and profile come from the environment.

    Attributes:
        endpoint_url: of a service other than the cloud's own; None: what the environment says.
        retries: further attempts of a request that failed.
        timeout: seconds to wait for an answer, or for more of it.
    """

    endpoint_url: str | None = None
    retries: int = 10
    timeout: float = 60.0

    def __post_init__(self) -> None:
        if self.endpoint_url is not None:
            check_endpoint(self.endpoint_url)


def check_endpoint(url: str) -> None:
    """Refuse what is not the address of a service.

    Raises:
        UsageError: never tells the address, which may hold a password.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
        good = good and (parts.port is None or parts.port > 0)
        secret = parts.username is not None or parts.password is not None or bool(parts.query)
    except ValueError:
        good, secret = False, False
    if secret:
        raise UsageError(
            "the endpoint URL holds credentials; give them in the environment instead"
            " (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
        )
    if not good:
        raise UsageError("the endpoint URL must be like https://storage.example.org:9000")
