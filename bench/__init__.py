"""Measurements of rendering speed. ``make bench`` prints the tables of docs/benchmarks.md."""
