"""Does formula pre-training help? The same fine-tuning from scratch and from formulas, compared."""
