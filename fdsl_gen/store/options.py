"""How to reach object storage. Never holds a secret: those stay where boto3 finds them."""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from fdsl_gen.core.errors import UsageError

Addressing = Literal["auto", "path", "virtual"]
Checksums = Literal["auto", "when_supported", "when_required"]


@dataclass(frozen=True, kw_only=True)
class S3Options:
    """Settings of a client. What is None is left to the AWS environment and configuration files.

    Attributes:
        endpoint_url: of a service other than AWS.
        region: of the bucket.
        profile: section of the AWS configuration files.
        addressing_style: where the bucket stands in addresses.
        checksums: whether requests carry a checksum beyond what they must. ``auto``: with AWS; many
            other services refuse them.
        retries: further attempts of a request that failed.
        timeout: seconds to wait for an answer, or for more of it.
    """

    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None
    addressing_style: Addressing = "auto"
    checksums: Checksums = "auto"
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
            "the endpoint URL holds credentials; give them as AWS_ACCESS_KEY_ID and"
            " AWS_SECRET_ACCESS_KEY or in a --profile instead"
        )
    if not good:
        raise UsageError("the endpoint URL must be like https://storage.example.org:9000")
