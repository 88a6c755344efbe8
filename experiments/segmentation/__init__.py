"""Does pre-training on masks of formulas help on masks of pictures?

    python -m experiments.segmentation STAMPS WORK

Prediction, written before the run: pre-training on segrcdb beats scratch in mean IoU in each of
three draws of 24 labeled scenes, by 3 points or more in the mean. The same pre-training with the
masks of other images (the control) does not: it stays within 3 points of scratch, or loses.
"""
