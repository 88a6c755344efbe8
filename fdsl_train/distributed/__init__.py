"""The processes of a run: which this is, what they tell each other, where they compute."""
