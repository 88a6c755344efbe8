"""Pre-training and fine-tuning on datasets made by ``fdsl_gen``."""

__version__ = "0.1.0"
