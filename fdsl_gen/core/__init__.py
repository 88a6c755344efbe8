"""What everything else stands on: errors, settings, keys, compiled kernels, progress."""
