"""Batches from loader processes to the device, the next one while the last is being used."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from fdsl_train.transforms.batch import PackedImages


class CpuBatch(NamedTuple):
    """A batch as loader processes hand it over, on the CPU; labels as in :class:`Batch`."""

    images: PackedImages
    labels: Tensor


class Batch(NamedTuple):
    """Images float32 (B, 3, H, W), normalized; labels int64 (B,), or multi-hot float32 (B, C)."""

    images: Tensor
    labels: Tensor


def on_device(
    parcels: Iterable[CpuBatch],
    device: torch.device,
    finish: Callable[[PackedImages], Tensor],
    channels_last: bool,
) -> Iterator[Batch]:
    """The batches, ready for a model.

    On a GPU a batch is copied and finished on a stream of its own while the one before it is
    computed with; the loader must pin its memory for that.

    Args:
        parcels: on the CPU.
        device: where the batches are wanted.
        finish: bytes to normalized images, on any device.
        channels_last: memory layout of the images.
    """

    def batch_of(parcel: CpuBatch) -> Batch:
        pixels, boxes, values = parcel.images
        moved = PackedImages(
            pixels.to(device, non_blocking=True), boxes, values.to(device, non_blocking=True)
        )
        images = finish(moved)
        if channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        return Batch(images, parcel.labels.to(device, non_blocking=True))

    if device.type != "cuda":
        yield from map(batch_of, parcels)
        return
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    ready: Batch | None = None
    for parcel in parcels:
        with torch.cuda.stream(stream):
            coming = batch_of(parcel)
        if ready is not None:
            yield ready
        torch.cuda.current_stream(device).wait_stream(stream)
        for tensor in coming:
            tensor.record_stream(torch.cuda.current_stream(device))
        ready = coming
    if ready is not None:
        yield ready
