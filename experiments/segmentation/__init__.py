"""Does pre-training on masks of formulas help on masks of pictures?

    python -m experiments.segmentation STAMPS WORK

A first run failed (a small vision transformer, 512 images of formulas, gain +0.3 points): nothing
had been learned well. This is the second, with another model, more images and longer training.
Settings were chosen on scenes of ``write_scenes(..., seed=77, tuning=True)``, in which no picture
stands that the experiment validates on; the learning rate of fine-tuning is near the best for
scratch.

Prediction, written before the run: pre-training on segrcdb beats scratch in mean IoU in each of
three draws of 24 labeled scenes, by 2 points or more in the mean. The same pre-training with the
masks of other images (the control) does not: it loses in a draw or more, and gains less than 1
point in the mean.
"""
