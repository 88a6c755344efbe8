"""Labeled images, whatever files they stand in."""
