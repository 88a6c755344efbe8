"""A run: the loop, one step, schedule, checkpoints, logs."""
