"""The command ``fdsl-train``. Nothing imports these modules."""

NAME = "fdsl-train"
AFTER_A_SIGNAL = "--resume auto continues the run"
