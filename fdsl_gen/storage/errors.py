"""What the failures of storage mean to a user, in one sentence each.

The sentences name the address, the bucket and the kind of failure, and quote no message of the
service or of a library: those may hold keys, signatures and the passwords of proxies.
"""

import re
from dataclasses import dataclass

from fdsl_gen.core.errors import FdslError, StorageError, UsageError
from fdsl_gen.storage.clouds import CLOUDS


class ObjectMissing(StorageError):
    """There is no file of this name in a store."""


class ObjectExists(StorageError):
    """There is another file of this name in a store."""


class Unreadable(UsageError):
    """A file that is too large for what it should be, no regular one, or not ours to read."""


class Unsupported(StorageError):
    """The service does not know this kind of request."""


_REFUSED = {
    "AccessDenied", "AuthorizationHeaderMalformed", "AuthenticationFailed", "ExpiredToken",
    "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch", "RequestTimeTooSkewed",
}  # fmt: skip
_NO_BUCKET = {"NoSuchBucket", "ContainerNotFound"}
_NO_ANSWER = {
    "Timeout": "timeout",
    "Connect": "connection refused",
    "Request": "connection lost",
    "Interrupted": "connection lost",
    "Decode": "an answer that cannot be read",
    "Unknown": "connection lost",
}


@dataclass(frozen=True)
class Asked:
    """What was asked for, for messages.

    Attributes:
        scheme: s3, gs, az, https, http or hf.
        bucket: that was asked for.
        key: of the object; a prefix when listing.
        endpoint: address of the service: scheme, host and port.
        attempts: how often a request is tried.
    """

    scheme: str
    bucket: str
    key: str
    endpoint: str
    attempts: int

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.key}"


def is_timeout(error: Exception) -> bool:
    """Whether an exception of obstore says that no answer came in time."""
    return "kind: Timeout" in str(error)


def status_of(error: Exception) -> int:
    """The status of the answer that an exception of obstore tells of; 0 if there was none."""
    found = re.search(r"\bstatus: (\d{3})\b", str(error))
    return int(found[1]) if found else 0


def broke_off(error: Exception) -> bool:
    """Whether an answer broke off and obstore did not ask again."""
    said = str(error)
    lost = re.search(r"\bkind: (Interrupted|Decode|Body|Unknown)\b", said) is not None
    return lost and not status_of(error) and re.search(r"\bretries: [1-9]", said) is None


def _code_of(error: Exception) -> str:
    found = re.search(r"<Code>([A-Za-z]{1,60})</Code>", str(error))
    return found[1] if found else ""


def translate_error(error: Exception, asked: Asked) -> Exception | None:
    """What an exception of obstore means, without any secret in it.

    Args:
        error: any exception.
        asked: what was asked for.

    Returns:
        The error to raise; None if it is not one of obstore's.
    """
    from obstore.exceptions import (
        AlreadyExistsError,
        BaseError,
        InvalidPathError,
        NotFoundError,
        NotSupportedError,
        PreconditionError,
    )

    if isinstance(error, FdslError):
        return error
    kind, code, status = type(error), _code_of(error), status_of(error)
    if code in _NO_BUCKET:
        return UsageError(
            f"there is no bucket {asked.bucket} at {asked.endpoint}; create it, or correct the URL"
        )
    if issubclass(kind, AlreadyExistsError | PreconditionError):
        return ObjectExists(f"{asked.url} is there already")
    if issubclass(kind, NotFoundError) or isinstance(error, FileNotFoundError):
        return ObjectMissing(f"{asked.url} is missing")
    if not issubclass(kind, BaseError):
        return None
    if issubclass(kind, InvalidPathError):
        return UsageError(
            f"{asked.url} holds an object, or is itself one, whose name fdsl-gen does not"
            " understand (such as a//b); give another place"
        )
    if issubclass(kind, NotSupportedError) or status == 501:
        return Unsupported(f"{asked.endpoint} does not support what fdsl-gen asked for")
    if status or code:
        return _answered(status, code, asked)
    return _unanswered(str(error), asked)


def _answered(status: int, code: str, asked: Asked) -> Exception:
    said = f"{status} {code}".strip()
    if status in (401, 403) or code in _REFUSED:
        return UsageError(
            f"access to {asked.url} was refused ({code or status}); check"
            f" {CLOUDS[asked.scheme].credentials}, and what they may do with this bucket"
        )
    if status in (301, 307) or code == "IllegalLocationConstraintException":
        return UsageError(
            f"bucket {asked.bucket} is in another region ({said}); set AWS_REGION to it"
        )
    if status >= 500 or status == 429 or code in ("SlowDown", "RequestTimeout", "Throttling"):
        return StorageError(
            f"{asked.endpoint} failed {asked.attempts} times ({said}) at {asked.url}; run the same"
            " command again later"
        )
    return StorageError(f"{asked.url}: the storage answered {said}")


def _unanswered(said: str, asked: Asked) -> Exception:
    for kind, meaning in _NO_ANSWER.items():
        if re.search(rf"\bkind: {kind}\b", said):
            return StorageError(
                f"{asked.endpoint} does not answer ({meaning}, tried {asked.attempts} times); check"
                " the address and the network, then run the same command again"
            )
    if re.search("credential|token|UnauthenticatedError", said, re.IGNORECASE):
        return UsageError(
            f"no usable credentials for {asked.scheme}://{asked.bucket}; check"
            f" {CLOUDS[asked.scheme].credentials}"
        )
    return no_storage(asked)


def no_storage(asked: Asked) -> StorageError:
    """The sentence for an answer that no object storage gives, such as a page to log in."""
    return StorageError(
        f"{asked.endpoint} answered {asked.url} with something that is no answer of object storage"
        " (a page to log in, perhaps); check the address and the network, then run the same"
        " command again"
    )
