"""The command ``fdsl-train``. Nothing imports these modules."""
