"""Checkpoints written by a thread of their own, so that steps go on meanwhile.

What is written is a copy of the moment it was asked for. At most one is being written: the next
waits for it, and whatever went wrong with it is raised there, or earlier where one asks.
"""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fdsl_train.training import checkpoint


class CheckpointWriter:
    """Writes checkpoints one after the other.

    Args:
        device: where the tensors are that change while one is written.

    Attributes:
        written: how many were written whole, with all their names.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.written = 0
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    def save(
        self,
        paths: Sequence[Path],
        payload: dict[str, Any],
        then: Callable[[], None] | None = None,
    ) -> None:
        """Copy the tensors of a payload to the memory of the CPU, and begin to write it.

        Args:
            paths: the names that it gets, one after the other.
            payload: for :func:`fdsl_train.training.checkpoint.save`.
            then: called once it is on the disk under all names, by the thread that wrote it.

        Raises:
            FdslError: if the one before could not be written; this one is then not begun.
        """
        self.wait()
        whole = checkpoint.plain(payload, _on_cpu)
        copied = None
        if self._device.type == "cuda":
            copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            copied.record()
        self._thread = threading.Thread(
            target=self._write, args=(list(paths), whole, copied, then), name="checkpoint"
        )
        self._thread.start()

    def check(self) -> None:
        """Raise what went wrong so far; does not wait."""
        if self._failure is not None:
            self.wait()

    def wait(self) -> None:
        """Until nothing is being written.

        Raises:
            FdslError: if it could not be written; what stood there stays.
        """
        self.close()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def close(self) -> None:
        """Until nothing is being written, whether well or not."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _write(
        self,
        paths: list[Path],
        payload: dict[str, Any],
        copied: "torch.cuda.Event | None",
        then: Callable[[], None] | None,
    ) -> None:
        try:
            if copied is not None:
                copied.synchronize()
            for path in paths:
                checkpoint.save(path, payload)
            self.written += 1
            if then is not None:
                then()
        except BaseException as error:  # raised in the thread that asked
            self._failure = error


def _on_cpu(tensor: Tensor) -> Tensor:
    """A copy; of one on a GPU its bytes come later, in the order of what the GPU does."""
    found = tensor.detach()
    if found.device.type != "cuda":
        return found.clone()
    host = torch.empty_like(found, device="cpu", pin_memory=True)
    return host.copy_(found, non_blocking=True)
