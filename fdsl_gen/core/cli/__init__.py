"""What both commands share of their command lines."""
