"""A page of this machine that draws while its user turns the settings of a dataset."""
