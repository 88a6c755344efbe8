"""One optimizer step: the model and everything that changes with it."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from timm.utils.clip_grad import dispatch_clip_grad
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.keys import Key
from fdsl_gen.core.settings import nearest
from fdsl_train.config import Resolved
from fdsl_train.distributed.group import Group
from fdsl_train.models.architecture import (
    checkpoint_gradients,
    freeze_backbone,
    set_training_mode,
    with_shared_norms,
)
from fdsl_train.tasks.base import Task
from fdsl_train.training.optim import create_optimizer, learning_rate, set_learning_rate
from fdsl_train.training.randomness import seed_all, seed_cpu
from fdsl_train.transforms.batch import Batch


class Learner:
    """A model in training.

    Gradients are averaged over the parts of a process's share and over processes, so that they are
    those of the global batch.

    Args:
        config: the resolved recipe.
        task: what to learn.
        model: with its first weights; it is moved to the group's device.
        group: the processes that train it together.

    Raises:
        UsageError: if the optimizer or the compiler cannot be had.
    """

    def __init__(self, config: Resolved, task: Task, model: nn.Module, group: Group) -> None:
        gpus = group.world_size if group.device.type == "cuda" else 0
        self.model = with_shared_norms(model.to(group.device), on_gpus=gpus)
        if config.grad_checkpointing:
            checkpoint_gradients(self.model)
        if config.channels_last:
            self.model.to(memory_format=torch.channels_last)
        self._frozen = config.freeze == "backbone"
        if self._frozen:
            freeze_backbone(self.model)
        self._config = config
        self._task = task
        self._group = group
        self._optimizer = create_optimizer(config, self.model)
        self._seed = seed_all if group.device.type == "cuda" else seed_cpu
        scales = config.amp and config.amp_dtype == "float16"
        self._scaler = torch.amp.GradScaler(group.device.type, enabled=scales)
        self._trains = False
        self._ema: Any = None
        if config.model_ema:
            self._ema = ModelEmaV3(self.model, decay=config.model_ema_decay)
        self._parallel: nn.Module = self.model
        if group.world_size > 1:
            devices = [group.device] if group.device.type == "cuda" else None
            self._parallel = DistributedDataParallel(self.model, device_ids=devices)
        self._forward: nn.Module = self._parallel
        if config.torchcompile is not None:
            self._forward = _compiled(self._parallel, config.torchcompile)

    @property
    def best_model(self) -> nn.Module:
        """What is validated and exported: the moving average where there is one."""
        return self.model if self._ema is None else self._ema.module

    def to_validate(self) -> nn.Module:
        """:attr:`best_model`, in evaluation mode; the next step goes back to training mode."""
        self._trains = False
        return self.best_model.eval()

    def autocast(self) -> AbstractContextManager[Any]:
        """Mixed precision, if the recipe has it."""
        dtype = getattr(torch, self._config.amp_dtype)
        return torch.autocast(self._group.device.type, dtype=dtype, enabled=self._config.amp)

    def train_step(self, step: int, batch: Batch) -> dict[str, Tensor]:
        """One optimizer step.

        Args:
            step: its number, 0 <= step < steps.
            batch: this process's share of the global batch, on its device.

        Returns:
            Loss and metrics, means over the share, each of shape ().
        """
        config = self._config
        if not self._trains:  # walking over all layers takes a hundredth of a small model's step
            set_training_mode(self.model, frozen=self._frozen)
            self._trains = True
        set_learning_rate(self._optimizer, learning_rate(config, step))
        parts = config.grad_accum_steps
        means: dict[str, Tensor] = {}
        pairs = zip(batch.images.chunk(parts), batch.labels.chunk(parts), strict=True)
        for part, (images, labels) in enumerate(pairs):
            # Keyed by place, so that a resumed run draws the same mixup and drop-path.
            self._seed(Key(config.seed, "step", (step, self._group.rank, part)))
            with self._gradients_stay(part < parts - 1):
                with self.autocast():
                    outcome = self._task.step(self._forward, Batch(images, labels))
                self._backward(outcome.loss / parts)
            for name, value in ({"loss": outcome.loss} | outcome.metrics).items():
                share = value.detach() / parts
                means[name] = means[name] + share if name in means else share
        self._update()
        return means

    def _gradients_stay(self, stay: bool) -> AbstractContextManager[Any]:
        """Not yet exchanged with other processes, while more parts follow."""
        if stay and isinstance(self._parallel, DistributedDataParallel):
            return self._parallel.no_sync()
        return nullcontext()

    def _backward(self, loss: Tensor) -> None:
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def _update(self) -> None:
        limit = self._config.clip_grad
        if limit is not None:
            self._scaler.unscale_(self._optimizer)
            trained = [weight for weight in self.model.parameters() if weight.grad is not None]
            dispatch_clip_grad(trained, limit, mode=self._config.clip_mode)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad(set_to_none=True)
        if self._ema is not None:
            self._ema.update(self.model)

    def is_finite(self) -> bool:
        """Whether all weights are numbers."""
        return all(bool(torch.isfinite(weight).all()) for weight in self.model.parameters())

    def state(self) -> dict[str, Any]:
        """What :meth:`restore` needs, for a checkpoint."""
        state = {
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
        }
        if self._ema is not None:
            state["model_ema"] = self._ema.module.state_dict()
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what :meth:`state` gave."""
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        for kept in self._optimizer.state.values():  # on a CPU still the file's pages, not copies
            kept |= {name: v.clone() if isinstance(v, Tensor) else v for name, v in kept.items()}
        self._scaler.load_state_dict(state["scaler"])
        if self._ema is not None:
            self._ema.module.load_state_dict(state["model_ema"])


def _compiled(model: nn.Module, backend: str) -> nn.Module:
    known = torch.compiler.list_backends(exclude_tags=())
    if backend not in known:
        raise UsageError(f"torchcompile: no backend '{backend}'{nearest(backend, known)}")
    return cast(nn.Module, torch.compile(model, backend=backend))
