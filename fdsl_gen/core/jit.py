"""The one decorator of kernels, and where their machine code is kept."""

import contextlib
import pickle
import tempfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numba
from llvmlite import binding

from fdsl_gen.core import keys
from fdsl_gen.core.user_dirs import cache_folder


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


_FOLDER = cache_folder(f"kernels-{_fingerprint()}")


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
        cache = compiled._cache
        cache._cache_file = _CheckedFiles(Path(cache.cache_path), cache._impl.filename_base)
    return compiled


class _CheckedFiles:
    """Machine code of a function, a file for each combination of types it is compiled for.

    In place of numba's own files: those carry no checksum, so a damaged one raises whatever pickle
    does or is run as it is, and their common index needs a lock between processes. A file here is
    its sha256 and then a pickle of key and code; one that is damaged counts as missing.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name

    def _path(self, key: Any) -> Path:
        # Its text tells types and processor; equality is checked with the key in the file.
        return self._folder / f"{self._name}.{sha256(repr(key).encode()).hexdigest()[:16]}.nbc"

    def load(self, key: Any) -> Any | None:
        """The code for a key; None if there is none, or it is damaged."""
        try:
            data = self._path(key).read_bytes()
        except OSError:
            return None
        body = data[32:]
        if sha256(body).digest() != data[:32]:
            return None
        kept, code = pickle.loads(body)
        return code if kept == key else None

    def save(self, key: Any, code: Any) -> None:
        """Keep the code for a key, as far as the disk lets us: it only saves time."""
        body = numba.core.serialize.dumps((key, code))
        path = self._path(key)
        with contextlib.suppress(OSError), tempfile.TemporaryDirectory(dir=self._folder) as here:
            fresh = Path(here) / path.name
            fresh.write_bytes(sha256(body).digest() + body)
            fresh.replace(path)
