"""Batches in an order that no number of workers changes.

Worker w of W builds whole batches w, w + W, w + 2 W, ... and PyTorch's loader takes from its
workers in turn, so batch after batch arrives as a single process would have made them. Workers live
as long as the run: an epoch may be three steps, and starting processes for each would cost more
than the training.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from fdsl_gen.errors import FdslError, UsageError
from fdsl_gen.seeding import Key
from fdsl_train.data.order import Plan, Position
from fdsl_train.data.source import Source
from fdsl_train.randomness import seed_cpu

Transform = Callable[[Image.Image], Tensor]

_PREFETCH = 4  # batches each worker prepares ahead


class Batch(NamedTuple):
    """Images float32 (B, 3, H, W), normalised; labels int64 (B,)."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class _Refusal:
    """A user's error inside a worker: PyTorch would wrap an exception into a worker's traceback."""

    sentence: str


class _Batches(IterableDataset[Batch | _Refusal]):
    """Batches ``start .. stop - 1`` of a plan; in a worker, its share of them."""

    def __init__(
        self,
        source: Source,
        plan: Plan,
        transform: Transform,
        seed: int,
        batches: range,
    ) -> None:
        self._source = source
        self._plan = plan
        self._transform = transform
        self._seed = seed
        self._batches = batches

    def __iter__(self) -> Iterator[Batch | _Refusal]:
        worker = get_worker_info()
        first, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        for index in self._batches[first::stride]:
            try:
                yield self._build(index)
            except UsageError as error:
                yield _Refusal(str(error))
                return

    def _build(self, index: int) -> Batch:
        images, labels = [], []
        for position in self._plan.batch(index):
            image, label = self._sample(position)
            images.append(image)
            labels.append(label)
        return Batch(torch.stack(images), torch.tensor(labels, dtype=torch.int64))

    def _sample(self, position: Position) -> tuple[Tensor, int]:
        sample = self._source.take(position.shard, position.row)
        # Keyed by what is drawn for, so that the draw does not depend on worker, batch or resume.
        seed_cpu(Key(self._seed, "augment", (position.epoch, position.number)))
        return self._transform(sample.image.convert("RGB")), sample.label


class Loader:
    """Delivers batches ``start .. stop - 1`` of a plan each time it is iterated.

    Args:
        source: where samples come from.
        plan: which samples make up a batch.
        transform: image -> float32 (3, H, W).
        seed: keys the transform's draws, with epoch and sample.
        batches: which batches to deliver.
        workers: processes; 0 builds batches in this one.
        pin_memory: for faster copies to a GPU.
    """

    def __init__(
        self,
        source: Source,
        plan: Plan,
        transform: Transform,
        *,
        seed: int,
        batches: range,
        workers: int,
        pin_memory: bool = False,
    ) -> None:
        self._loader: DataLoader[Batch | _Refusal] = DataLoader(
            _Batches(source, plan, transform, seed, batches),
            batch_size=None,  # the dataset yields whole batches
            num_workers=workers,
            pin_memory=pin_memory,
            prefetch_factor=_PREFETCH if workers else None,
            persistent_workers=workers > 0,
            # The base seed of workers would be drawn from the global generator, which a resumed
            # run has not advanced as far; nothing here uses it.
            generator=torch.Generator(),
        )

    def __iter__(self) -> Iterator[Batch]:
        """Batches in order.

        Raises:
            UsageError: the first sample that cannot be used, in the order of the batches.
            FdslError: if a worker process died.
        """
        try:
            for batch in self._loader:
                if isinstance(batch, _Refusal):
                    raise UsageError(batch.sentence)
                yield batch
        except RuntimeError as error:
            if "DataLoader worker" not in str(error) or "Traceback" in str(error):
                raise
            raise FdslError(
                "a data loader process died, often for want of memory (or of shared memory,"
                " /dev/shm); try fewer --workers"
            ) from error
