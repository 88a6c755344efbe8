"""Claims of the papers, tried small: ``make hypotheses`` writes docs/hypotheses.md and pictures.

Each arm is a set of formula images that a very small ViT is pre-trained on, with two seeds. From
there it is fine-tuned on ten labeled images a class of three real sets, in three draws, and its
frozen features are measured. A claim compares arms; its prediction and the rule of its verdict
stand in ``claims.yaml`` and ``rules.py``, and were there before the runs.
"""
