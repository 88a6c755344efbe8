"""How well confidences say how often a classifier is right: the expected calibration error.

Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017): images are sorted into bins of
equal width by the probability of the class that was taken; the error is the mean distance of
accuracy and confidence in a bin, weighted by its images. Bins are those of torchmetrics, which the
tests compare with; its class would keep the confidences of all images until the end.
"""

import torch
from torch import Tensor

NUM_BINS = 15


class Calibration:
    """Sums over images, by bins of confidence.

    Attributes:
        images: int64 (NUM_BINS,).
        confidence: sums of the probabilities of the classes taken, float64 (NUM_BINS,).
        hits: images whose class was taken, int64 (NUM_BINS,).
    """

    def __init__(self) -> None:
        self._edges = torch.linspace(0, 1, NUM_BINS + 1)
        self.images = torch.zeros(NUM_BINS, dtype=torch.int64)
        self.confidence = torch.zeros(NUM_BINS, dtype=torch.float64)
        self.hits = torch.zeros(NUM_BINS, dtype=torch.int64)

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """A batch: logits float32 (B, C), labels int64 (B,)."""
        confidence, taken = logits.softmax(dim=1).max(dim=1)
        places = torch.bucketize(confidence, self._edges, right=True) - 1
        places.clamp_(max=NUM_BINS - 1)  # a probability of 1 counts to the last bin
        self.images += torch.bincount(places, minlength=NUM_BINS)
        self.hits += torch.bincount(places[taken == labels], minlength=NUM_BINS)
        self.confidence += torch.bincount(places, confidence.double(), minlength=NUM_BINS)

    def percent(self) -> float:
        """The expected calibration error, percent."""
        distance = (self.hits - self.confidence).abs().sum()
        return 100.0 * float(distance) / int(self.images.sum())
