"""Bytes on disk: PNG, tar, index, digest, manifest. No I/O beyond a file handle."""
