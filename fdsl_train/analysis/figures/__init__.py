"""Pictures of runs and models, drawn with matplotlib (``fdsl[plot]``)."""
