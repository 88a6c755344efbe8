"""Numbers behind pictures: maps, contours, cameras. No pixels."""
