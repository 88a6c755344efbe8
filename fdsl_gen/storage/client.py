"""obstore clients: one for each process, bucket and settings; never carried over a fork or pickle.

obstore was chosen over boto3 because it is one typed library for three clouds. Its threads do not
live on in a forked process, where every request would hang: that is refused with a sentence.
"""

import os
import threading
from datetime import timedelta
from typing import Any

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.extras import missing
from fdsl_gen.storage.clouds import CLOUDS, Client
from fdsl_gen.storage.options import StorageOptions
from fdsl_gen.storage.url import ObjectUrl

_CONNECT_SECONDS = 10.0
_LONGEST_RETRY = timedelta(hours=1)  # the number of retries is what limits them

_clients: dict[tuple[ObjectUrl, StorageOptions], Client] = {}
_lock = threading.Lock()
_used_by_parent = False


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
    cloud = CLOUDS[place.scheme]
    try:
        from obstore.exceptions import BaseError
    except ImportError:
        raise missing("obstore", "object storage", cloud.extra) from None
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
        return cloud.connect(place.bucket, options, settings)
    except (BaseError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(
            f"the settings of object storage for {place.scheme}://{place.bucket} are wrong"
            f" ({type(error).__name__})"
        ) from None
