"""Of fdsl_train.trial."""
