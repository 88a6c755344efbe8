"""Compiled loops: arrays in, a preallocated array last, nothing else."""
