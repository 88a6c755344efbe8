"""``fdsl-train knn``: nearest neighbors in the features of a model; nothing is trained.

The weighted vote of Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance
Discrimination" (CVPR 2018), with the defaults of Caron et al., "Emerging Properties in
Self-Supervised Vision Transformers" (DINO, ICCV 2021): k = 20, temperature 0.07. It is exact: every
image is compared with every training image, a block of them at a time.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fdsl_gen.core.errors import UsageError
from fdsl_train.analysis.inference import Inference
from fdsl_train.data.open import DataSpec, data_spec, open_train_val
from fdsl_train.data.sources.base import Source
from fdsl_train.models.pretrained import PretrainedWeights
from fdsl_train.tasks.classification import Accuracy

logger = logging.getLogger(__name__)

_QUERIES = 1024  # compared at a time ...
_BLOCK = 16384  # ... with so many of the bank: 64 MB of cosines


def knn(
    checkpoint: str | Path,
    data: str | Path | DataSpec,
    *,
    val_split: float | None = None,
    seed: int = 0,
    k: int = 20,
    temperature: float = 0.07,
    **how: Any,
) -> dict[str, float]:
    """Classify the validation images by the nearest training images.

    Args:
        checkpoint: a run, one of its checkpoints, its ``export``, or a file of others.
        data: the images, as for :func:`fdsl_train.evaluate`.
        val_split: share to hold out of images without validation part.
        seed: chooses which.
        k: neighbors that vote.
        temperature: of the weight exp(cosine / temperature) of a vote.
        how: of :class:`Inference`: ``use_ema``, ``model``, ``img_size``, ``device``,
            ``batch_size``, ``workers``.

    Returns:
        ``val_top1`` and ``val_top5``, percent.

    Raises:
        UsageError: if the data cannot be used, or has fewer than ``k`` training images.

    Examples:
        >>> knn("runs/smoke/export", "photos/", k=10)["val_top1"]
    """
    inference, where = Inference(checkpoint=Path(checkpoint), **how), data_spec(data)
    trained = inference.read()
    sources = open_train_val(where, val_split=val_split, seed=seed)
    model = inference.build(trained, head=False)
    inference.announce(trained)
    bank, labels = _features(inference, trained, sources.train, model)
    if k > len(bank):
        raise UsageError(
            f"--k: {sources.train.name} has {len(bank)} training images, fewer than {k}"
        )
    queries, truth = _features(inference, trained, sources.validation, model)
    logger.info(f"{len(bank)} training images, {bank.shape[1]} features")
    accuracy = Accuracy()
    for begin in range(0, len(queries), _QUERIES):
        votes = weighted_votes(
            queries[begin : begin + _QUERIES].to(inference.torch_device),
            bank,
            labels,
            num_classes=sources.train.num_classes,
            k=k,
            temperature=temperature,
        )
        accuracy.update(votes, truth[begin : begin + _QUERIES])
    percent = accuracy.percent(accuracy.counts())
    logger.info(
        f"{k} nearest neighbors: top-1 {percent['val_top1']:.2f} %,"
        f" top-5 {percent['val_top5']:.2f} % of {len(queries)} images, {sources.label}"
    )
    return percent


def _features(
    inference: Inference, trained: PretrainedWeights, source: Source, model: nn.Module
) -> tuple[Tensor, Tensor]:
    """What the head would see, of length 1: float32 (N, D), and labels int64 (N,)."""
    forward: Callable[[Tensor], Tensor] = model.forward_features  # type: ignore[assignment]
    pooled: Callable[..., Tensor] = model.forward_head  # type: ignore[assignment]

    def embed(images: Tensor) -> Tensor:
        return F.normalize(pooled(forward(images), pre_logits=True).float(), dim=1)

    parts = list(inference.outputs(source, trained, embed))
    return torch.cat([part for part, _ in parts]), torch.cat([labels for _, labels in parts])


def weighted_votes(
    queries: Tensor,
    bank: Tensor,
    labels: Tensor,
    *,
    num_classes: int,
    k: int,
    temperature: float,
    block: int = _BLOCK,
) -> Tensor:
    """Votes of the ``k`` nearest of the bank for each class, float32 (Q, num_classes) on the CPU.

    Args:
        queries: float32 (Q, D), each of length 1; computed on their device.
        bank: float32 (N, D), each of length 1.
        labels: int64 (N,).
        num_classes: labels are below it.
        k: neighbors that vote, 1 <= k <= N.
        temperature: a neighbor's vote weighs exp(cosine / temperature).
        block: of the bank that is compared at a time.
    """
    device = queries.device
    nearest = torch.empty(len(queries), 0, device=device)
    voters = torch.empty(len(queries), 0, dtype=torch.int64, device=device)
    for begin in range(0, len(bank), block):
        part = bank[begin : begin + block].to(device)
        cosines = torch.cat([nearest, queries @ part.T], dim=1)
        own = labels[begin : begin + block].to(device).expand(len(queries), -1)
        nearest, places = cosines.topk(min(k, cosines.shape[1]), dim=1)
        voters = torch.cat([voters, own], dim=1).gather(1, places)
    weights = torch.exp((nearest - nearest[:, :1]) / temperature)  # of the nearest: 1, no overflow
    votes = torch.zeros(len(queries), num_classes, device=device)
    return votes.scatter_add_(1, voters, weights).cpu()
