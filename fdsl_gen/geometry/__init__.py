"""Numbers behind images: maps, contours, cameras. No pixels."""
