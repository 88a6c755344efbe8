"""Evidence: each experiment is a folder with its prediction, its script and its result."""
