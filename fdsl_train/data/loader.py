"""Batches in an order that no number of workers changes.

Worker w of W builds whole batches w, w + W, w + 2 W, ... and PyTorch's loader takes from its
workers in turn, so batch after batch arrives as a single process would have made them. Of R
training processes, number r takes places r, r + R, ... of every batch. Workers live as long as the
run: an epoch may be three steps, and starting processes for each would cost more than training.
"""

import atexit
import multiprocessing
import multiprocessing.process
import os
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from fdsl_gen.core import signals
from fdsl_gen.core.errors import FdslError
from fdsl_gen.core.keys import Key
from fdsl_train.data.sampler import Plan, Position
from fdsl_train.data.sources.base import ReadsTogether, Source, read_samples
from fdsl_train.data.workers import Copied, start_method, to_hand_over
from fdsl_train.tasks import TASKS
from fdsl_train.training.randomness import seed_cpu
from fdsl_train.transforms import Transform
from fdsl_train.transforms.batch import Batch, collate

_PREFETCH = 4  # batches each worker prepares ahead


@dataclass(frozen=True)
class _Refusal:
    """An error with a sentence: PyTorch would wrap an exception into a worker's traceback."""

    kind: type[FdslError]
    sentence: str


class _Batches(IterableDataset[Batch | Copied | _Refusal]):
    """Batches ``start .. stop - 1`` of a plan; in a worker, its share of them."""

    def __init__(
        self,
        source: Source,
        plan: Plan,
        transform: Transform,
        seed: int,
        batches: range,
        places: slice,
    ) -> None:
        self._source = source
        self._plan = plan
        self._transform = transform
        self._seed = seed
        self._batches = batches
        self._places = places

    def __iter__(self) -> Iterator[Batch | Copied | _Refusal]:
        worker = get_worker_info()
        first, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        for index in self._batches[first::stride]:
            try:
                batch = self._build(index)
                yield to_hand_over(batch, worker.num_workers) if worker else batch
            except FdslError as error:
                yield _Refusal(type(error), str(error))
                return
            except OSError as error:
                where = f" {error.filename}" if error.filename else " the data"
                yield _Refusal(FdslError, f"cannot read{where}: {error.strerror or error}")
                return

    def _build(self, index: int) -> Batch:
        self._source.prefetch(self._plan.next_shards(index))
        positions = self._plan.batch(index)[self._places]
        drawn = {}
        for place, sample in read_samples(self._source, positions):
            self._seed_for(positions[place])
            drawn[place] = self._transform.apply(sample)
        samples = [drawn[place] for place in range(len(positions))]
        task = TASKS[self._source.label_type.name]
        labels = task.targets([one.label for one in samples], self._source.num_classes)
        return collate(samples, labels)

    def _seed_for(self, position: Position) -> None:
        # Keyed by what is drawn for, so that the draw does not depend on worker, batch or resume.
        drawn_for = (position.epoch, position.number, position.repeat)
        seed_cpu(Key(self._seed, "augment", drawn_for))


def _begin_worker(environment: dict[str, str], _: int) -> None:
    signals.ignore()
    # That of a process from a server is the one the server was started in, perhaps long ago.
    os.environ.clear()
    os.environ.update(environment)


def _end_workers(workers: Iterable[multiprocessing.process.BaseProcess]) -> None:
    """End processes without PyTorch, whose handler would tell of each as of an accident."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for worker in workers:
        worker.kill()
    for worker in workers:
        worker.join()


class Loader:
    """Delivers batches ``start .. stop - 1`` of a plan each time it is iterated.

    Args:
        source: where samples come from.
        plan: which samples make up a batch.
        transform: what becomes of images.
        seed: keys the transform's draws, with epoch and sample.
        batches: which batches to deliver.
        workers: processes; 0 builds batches in this one.
        rank, world_size: which of how many training processes this is. Each gets its
            share of every batch.
        device: where the batches are wanted.
        channels_last: memory layout of their images.
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
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | None = None,
        channels_last: bool = False,
    ) -> None:
        if isinstance(source, ReadsTogether):
            source.prepare()
        self._transform = transform
        self._device = device or torch.device("cpu")
        self._channels_last = channels_last
        self._loader: DataLoader[Batch | Copied | _Refusal] = DataLoader(
            _Batches(source, plan, transform, seed, batches, slice(rank, None, world_size)),
            batch_size=None,  # the dataset yields whole batches
            num_workers=workers,
            multiprocessing_context=start_method(__name__) if workers else None,
            pin_memory=self._device.type == "cuda",
            prefetch_factor=_PREFETCH if workers else None,
            persistent_workers=workers > 0,
            # The base seed of workers would be drawn from the global generator, which a resumed
            # run has not advanced as far; nothing here uses it.
            generator=torch.Generator(),
        )

    def _begin(self) -> Iterator[Batch | Copied | _Refusal]:
        """PyTorch's iterator; its workers do not outlive this process.

        They ignore signals meant for the whole run, and so also the one by which Python would end
        them at exit.
        """
        before = set(multiprocessing.active_children())
        self._loader.worker_init_fn = partial(_begin_worker, dict(os.environ))
        with signals.shielded():
            iterator = iter(self._loader)
            atexit.register(_end_workers, set(multiprocessing.active_children()) - before)
        return iterator

    def __iter__(self) -> Iterator[Batch]:
        """Batches in order.

        Raises:
            UsageError: the first sample that cannot be used, in the order of the batches.
            FdslError: if a file cannot be read, or a worker process died.
        """
        if self._device.type == "cuda":
            return self._ahead()
        return map(self._finished, self._on_cpu())

    def _finished(self, batch: Batch) -> Batch:
        """A batch on its device, ready for a model."""
        images = batch.images.to(self._device, non_blocking=True)
        erased = batch.erased
        if erased is not None:
            boxes, values = (one.to(self._device, non_blocking=True) for one in erased)
            erased = boxes, values
        images = self._transform.finish(batch._replace(images=images, erased=erased))
        if self._channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        return Batch(images, batch.labels.to(self._device, non_blocking=True))

    def _ahead(self) -> Iterator[Batch]:
        """On a GPU a batch is copied and finished on a stream of its own while the one before it is
        computed with; its memory must be pinned for that.
        """
        stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        ready: Batch | None = None
        for batch in self._on_cpu():
            with torch.cuda.stream(stream):
                coming = self._finished(batch)
            if ready is not None:
                yield ready
            torch.cuda.current_stream(self._device).wait_stream(stream)
            for tensor in (coming.images, coming.labels):
                tensor.record_stream(torch.cuda.current_stream(self._device))
            ready = coming
        if ready is not None:
            yield ready

    def _on_cpu(self) -> Iterator[Batch]:
        try:
            for found in self._begin():
                if isinstance(found, _Refusal):
                    refused = found.kind(found.sentence)
                    refused.all_ranks = False
                    raise refused
                yield found.batch() if isinstance(found, Copied) else found
        except RuntimeError as error:
            if "DataLoader worker" not in str(error) or "Traceback" in str(error):
                raise
            died = FdslError(
                "a data loader process died, often for want of memory (or of shared memory,"
                " /dev/shm); try fewer --workers"
            )
            died.all_ranks = False
            raise died from error
