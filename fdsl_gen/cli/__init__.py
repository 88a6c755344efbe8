"""The command ``fdsl-gen``. Nothing imports these modules."""
