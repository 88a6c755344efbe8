"""From files to batches: which samples, in what order, read and transformed."""
