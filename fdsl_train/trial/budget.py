"""How much a trial can do in its minutes, from the speed of this machine."""

import math
import time
from concurrent.futures import Executor
from dataclasses import asdict, dataclass

from fdsl_gen.core.errors import UsageError
from fdsl_train.config import load_config

RATES = (5.0e-4, 1.0e-3, 2.0e-3)  # learning rates of fine-tuning that are tried
PRETRAIN, FINETUNE = "cpu-pretrain", "cpu-finetune"

_MARGIN = 0.85  # of the time, for what cannot be foreseen
_LOADING = 0.65  # speed of a run beside that of its model alone
_OVERHEAD = 4.0  # seconds of a run that do not depend on its length
_PRE_BATCH, _FINE_BATCH = 64, 32
_MEASURE_SECONDS = 3.0

# Steps of pre-training; steps of fine-tuning; draws. The most generous first.
_PLANS = [
    (3000, 800, 5),
    (2000, 600, 5),
    (1500, 500, 4),
    (1000, 400, 3),
    (1000, 300, 3),
    (800, 240, 3),
    (600, 200, 3),
    (500, 150, 3),
    (400, 120, 3),
    (400, 120, 2),
]


@dataclass(frozen=True)
class Effort:
    """The size of a trial.

    Attributes:
        sets: how many formula sets.
        pretrain_steps: of 64 images.
        finetune_steps: of 32 images.
        draws: of the images.
    """

    sets: int
    pretrain_steps: int
    finetune_steps: int
    draws: int

    def to_dict(self) -> dict[str, int]:
        """For a file."""
        return asdict(self)

    def seconds(self, speed: float, *, labels: int, measured: int, jobs: int) -> float:
        """How long it takes.

        Args:
            speed: training images a second of one process.
            labels: amounts of labels that are compared.
            measured: images that a run is measured on.
            jobs: processes.
        """
        arms = self.sets + 1
        run = self.finetune_steps * _FINE_BATCH / speed + measured / (3 * speed) + _OVERHEAD
        runs = arms * (len(RATES) + labels * self.draws)
        before = self.sets * (self.pretrain_steps * _PRE_BATCH / speed + 2 * _OVERHEAD)
        # The last piece of each kind runs alone.
        return (before + runs * run) / jobs + run


def choose_effort(
    speed: float, *, minutes: float, sets: int, labels: int, measured: int, jobs: int
) -> Effort:
    """The most generous trial that fits.

    Args:
        speed: training images a second of one process, the other ones at work.
        minutes: the budget.
        sets: formula sets asked for; fewer are compared if there is no time for all.
        labels: amounts of labels.
        measured: images that a run is measured on.
        jobs: processes.

    Raises:
        UsageError: if not even the smallest fits.
    """
    size = {"labels": labels, "measured": measured, "jobs": jobs}
    for count in range(sets, 0, -1):
        for before, after, draws in _PLANS:
            effort = Effort(count, before, after, draws)
            if effort.seconds(speed, **size) <= _MARGIN * 60 * minutes:
                return effort
    least = Effort(1, *_PLANS[-1]).seconds(speed, **size) / _MARGIN / 60
    raise UsageError(
        f"--minutes: {minutes:g} are too few here; the smallest trial takes {math.ceil(least)},"
        " with fewer --labels less"
    )


def refit(
    effort: Effort, speed: float, left: float, *, labels: int, measured: int, jobs: int
) -> Effort:
    """The same trial with what fits into what is left after pre-training.

    Args:
        effort: as it was planned.
        speed: training images a second that pre-training was seen to reach.
        left: seconds.
        labels, measured, jobs: as in :meth:`Effort.seconds`.

    Returns:
        Never a longer one: a shorter fine-tuning, and fewer sets if the shortest does not fit.
    """
    size = {"labels": labels, "measured": measured, "jobs": jobs}
    plans = [
        (steps, draws)
        for _, steps, draws in _PLANS
        if steps <= effort.finetune_steps and draws <= effort.draws
    ]
    for sets in range(effort.sets, 0, -1):
        for steps, draws in plans:
            if (sets + 1) * Effort(0, 0, steps, draws).seconds(speed, **size) <= left:
                return Effort(sets, effort.pretrain_steps, steps, draws)
    return Effort(1, effort.pretrain_steps, *plans[-1])


def measure_speed(pool: Executor, jobs: int, device: str) -> float:
    """Training images a second that one process reaches while all others work, too."""
    found = [pool.submit(_train_for_a_moment, device) for _ in range(jobs)]
    return _LOADING * min(future.result() for future in found)


def _train_for_a_moment(device: str) -> float:
    import torch

    from fdsl_train.models.architecture import architecture_of, create_model, published

    torch.set_num_threads(1)
    config = load_config(PRETRAIN, "pretrain", {}).resolve(1000)
    published(config.model)
    model = create_model(architecture_of(config), num_classes=10, drop_path=0.0, seed=0)
    model.to(device)
    optimizer = torch.optim.AdamW(model.parameters())
    images = torch.zeros(_PRE_BATCH, 3, config.img_size, config.img_size, device=device)
    began, count = time.monotonic(), -1  # the first step warms up
    while count < 3 or time.monotonic() - began < _MEASURE_SECONDS:
        if count == 0:
            began = time.monotonic()
        model(images).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        count += 1
    if device != "cpu":
        torch.cuda.synchronize()
    return count * _PRE_BATCH / (time.monotonic() - began)
