"""Does pre-training on masks of formulas help on masks of pictures?

    python -m experiments.segmentation STAMPS WORK

The results are in docs/segmentation.md.

Two runs failed. In the first (a small vision transformer, 512 images of formulas) nothing had been
learned well: +0.3 points. In the second (these settings, 200 steps of fine-tuning, other scenes)
segrcdb gained 3.0, -0.1 and -1.0 points over scratch, the control lost 5 in the mean.

The third asks what pre-training saves: the same weights, half the steps of fine-tuning, new scenes
and draws. Settings were chosen on scenes of ``write_scenes(..., seed=77, tuning=True)``, in which
no picture stands that the experiment validates on.

Prediction, written before the run: pre-training on segrcdb beats scratch in mean IoU in each of
three draws of 24 labeled scenes, by 2 points or more in the mean. The same pre-training with the
masks of other images (the control) does not: it loses in a draw or more, and gains less than 1
point in the mean.
"""
