"""Labelled images, whatever files they stand in."""
