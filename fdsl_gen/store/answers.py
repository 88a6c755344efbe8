"""What the answers and failures of object storage mean to a user, in one sentence each.

The sentences name the address, the bucket and the kind of failure, and quote no message of the
service or of boto3: those may hold keys, signatures and the passwords of proxies.
"""

from typing import Any

from fdsl_gen.core.errors import FdslError, StorageError, UsageError
from fdsl_gen.store.client import endpoint_of, kind_of
from fdsl_gen.store.options import S3Options


class Missing(FileNotFoundError):
    """There is no such object."""


class Unsupported(StorageError):
    """The service does not know this kind of request."""


_REFUSED = {
    "AccessDenied", "AuthorizationHeaderMalformed", "ExpiredToken", "InvalidAccessKeyId",
    "InvalidToken", "SignatureDoesNotMatch", "RequestTimeTooSkewed",
}  # fmt: skip
_SETTINGS = {
    "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError",
    "TokenRetrievalError", "UnauthorizedSSOTokenError", "SSOTokenLoadError", "ProfileNotFound",
    "NoAuthTokenError", "RefreshWithMFAUnsupportedError",
}  # fmt: skip


def explained(error: Exception, options: S3Options, bucket: str, name: str) -> Exception | None:
    """What an exception of boto3 means, without any secret in it.

    Args:
        error: any exception.
        options: of the client.
        bucket: that was asked for.
        name: key of the object; a prefix when listing.

    Returns:
        Missing, FileExistsError, or the sentence to raise; None if it is not boto3's.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    if isinstance(error, FdslError):
        return error
    if isinstance(error, ClientError):
        return _answered(error, options, bucket, name)
    if not isinstance(error, BotoCoreError):
        return None
    if type(error).__name__ in _SETTINGS:
        return UsageError(
            f"no usable credentials for s3://{bucket} ({kind_of(error)}); set AWS_ACCESS_KEY_ID and"
            " AWS_SECRET_ACCESS_KEY, or give a --profile"
        )
    if type(error).__name__ == "ParamValidationError":
        return UsageError(f"s3://{bucket}/{name} is not a name that object storage takes")
    return StorageError(
        f"{endpoint_of(options)} does not answer ({kind_of(error)}, tried"
        f" {options.retries + 1} times); check the address and the network, then run the same"
        " command again"
    )


def _answered(error: Any, options: S3Options, bucket: str, name: str) -> Exception:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = str(error.response.get("Error", {}).get("Code", status))
    said = str(status) if code == str(status) else f"{status} {code}"
    if code == "NoSuchBucket":
        return UsageError(
            f"there is no bucket {bucket} at {endpoint_of(options)}; create it, or correct the URL"
        )
    if status == 404:
        return Missing(f"s3://{bucket}/{name}")
    if status == 412:
        return FileExistsError(f"s3://{bucket}/{name}")
    if status in (401, 403) or code in _REFUSED:
        return UsageError(
            f"access to s3://{bucket}/{name} was refused ({code}); check the credentials, the"
            " --profile, and what they may do with this bucket"
        )
    if status in (301, 307) or code == "IllegalLocationConstraintException":
        return UsageError(f"bucket {bucket} is in another region ({code}); give its --region")
    if status == 501:
        return Unsupported(f"{endpoint_of(options)} does not support what fdsl-gen asked for")
    if status >= 500 or code in ("SlowDown", "RequestTimeout", "Throttling"):
        return StorageError(
            f"{endpoint_of(options)} failed {options.retries + 1} times ({said}) at"
            f" s3://{bucket}/{name}; run the same command again later"
        )
    return StorageError(f"s3://{bucket}/{name}: the storage answered {said}")
