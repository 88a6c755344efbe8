"""Tests; the folders ``fdsl_gen`` and ``fdsl_train`` mirror the packages."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
PHOTO = Path(__file__).with_name("photo.png")  # 60x44, colors
