"""Evidence that formulas pre-train: ``make transfer`` writes transfer.md and a picture.

Every arm but "scratch" renders a small dataset, pre-trains a very small ViT on it, and fine-tunes
it on a few real digits; all arms are fine-tuned alike, on the same draws of labeled digits, and
measured on all the other digits. One arm is a control, from which nothing can be learnt.
"""
