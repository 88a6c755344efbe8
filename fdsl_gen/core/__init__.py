"""What everything else stands on: errors, settings, keys, compiled kernels, progress."""

import sys

if sys.platform == "win32":
    raise ImportError("fdsl runs on Linux and macOS; on Windows use WSL")
