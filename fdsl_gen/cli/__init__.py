"""The command ``fdsl-gen``. Nothing imports these modules."""

NAME = "fdsl-gen"
AFTER_A_SIGNAL = "what is finished stays, the same command goes on from there"
