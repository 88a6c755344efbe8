"""The one decorator of kernels, and where their machine code is kept."""

import fcntl
import os
import tempfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numba
from llvmlite import binding

from fdsl_gen.core import keys


def _fingerprint() -> str:
    """Changes with the CPU, numba and the text of any kernel.

    numba itself looks only at the file a function stands in, and would go on using an old copy of a
    helper that was inlined from another file.
    """
    digest = sha256(f"{numba.__version__} {binding.get_host_cpu_name()}".encode())
    kernels = Path(__file__).parents[1] / "kernels"
    for path in (Path(__file__), Path(keys.__file__), *sorted(kernels.glob("*.py"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def cache_folder() -> Path | None:
    """The first writable of: the user's cache folder, the temporary folder; None if neither is."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    owner = f"fdsl-{os.getuid()}"
    for base in (Path(home) / "fdsl", Path(tempfile.gettempdir()) / owner):
        folder = base / f"kernels-{_fingerprint()}"
        if _writable(folder):
            return folder
    return None


_FOLDER = cache_folder()


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a loop on its first call and keep the machine code for later processes.

    No fastmath, no parallel=True: what these loops compute is promised to the bit. The GIL is
    released, so that a progress line or a heartbeat can run beside a long loop.
    """
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(_FOLDER or "")
    try:
        decorate = numba.njit(cache=_FOLDER is not None, nogil=True, error_model="numpy")
        compiled = decorate(function)
    finally:
        numba.config.CACHE_DIR = before
    if _FOLDER is not None and not numba.config.DISABLE_JIT:
        _save_alone(compiled._cache, _FOLDER)
    return compiled


def _save_alone(cache: Any, folder: Path) -> None:
    """Let one process at a time keep machine code.

    numba looks for a free file name and writes the file without a lock: two processes that compile
    one kernel for different types at the same moment could put their code under the same name.
    """
    save = cache.save_overload

    def save_alone(signature: Any, data: Any) -> None:
        with (folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            save(signature, data)

    cache.save_overload = save_alone
