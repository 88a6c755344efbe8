"""Trackers of experiments: one thin sink for each, over the lines of the log.

A tracker is told of a run once, by its settings and its data, gives it an identifier, and gets
lines in the order of steps. Nothing sent is ever taken back.
"""

import os
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from fdsl_gen.core.extras import missing

PROJECT = "fdsl"  # where the environment names none
_SENT = "fdsl.sent"  # tag of MLflow: step of the last line that it took
_LONGEST = 6000  # characters of a parameter, and
_AT_ONCE = 100  # parameters of a request that MLflow takes


class Line(NamedTuple):
    """What was logged at a step: ``{"train/loss": 2.5, "train/lr": 1e-3, ...}``."""

    step: int
    values: dict[str, float]


@dataclass(frozen=True)
class Identity:
    """What a tracker is told of a run.

    Attributes:
        folder: of the run; its name is the run's.
        settings: the resolved recipe, where the data were and their digest; plain values.
    """

    folder: Path
    settings: dict[str, Any]


class Sink(Protocol):
    """A run in a tracker. Any of its methods may raise anything.

    Attributes:
        key: by which the tracker finds the run again.
        held: step of the last line that it says it holds, 0 for none; None if it cannot say.
        settles: seconds from :meth:`send` until lines outlive a kill, if it cannot say.
    """

    key: str
    held: int | None
    settles: float

    def send(self, lines: Sequence[Line]) -> None:
        """Take lines, each of a later step than the one before."""
        ...

    def close(self, *, finished: bool) -> None:
        """Take no more in this process; ``finished``: nor in any other."""
        ...


class WandB:
    """Weights & Biases; ``WANDB_PROJECT``, ``WANDB_MODE=offline`` and others as everywhere.

    Its server knows what it has. Offline a process of its own writes files, now and then.
    """

    settles = 3.0

    def __init__(self, run: Identity, key: str | None) -> None:
        import wandb

        offline = os.environ.get("WANDB_MODE", "online") not in ("online", "run", "shared")
        if not offline and not wandb.login(prompt=False):
            raise ConnectionError("it knows no API key: wandb login, or WANDB_MODE=offline")
        self.key = key or uuid.uuid4().hex[:12]
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=self.key,
            name=run.folder.name,
            resume="allow",
            dir=run.folder,
            config=run.settings,
            settings=wandb.Settings(
                console="off", silent=True, x_transaction_log_flush_interval=1.0
            ),
        )
        self.held = None if offline else max(0, self._run.step - 1)

    def send(self, lines: Sequence[Line]) -> None:
        """See :class:`Sink`."""
        for line in lines:
            self._run.log(line.values, step=line.step, commit=True)

    def close(self, *, finished: bool) -> None:
        """See :class:`Sink`."""
        self._run.finish(exit_code=0 if finished else 1)


class MLflow:
    """MLflow; ``MLFLOW_TRACKING_URI`` and ``MLFLOW_EXPERIMENT_NAME`` as everywhere."""

    settles = 0.0

    def __init__(self, run: Identity, key: str | None) -> None:
        from mlflow import MlflowClient

        self._client = client = MlflowClient()
        self.held: int | None = 0
        if key is None:
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
            known = client.get_experiment_by_name(name)
            where = client.create_experiment(name) if known is None else known.experiment_id
            self.key = client.create_run(where, run_name=run.folder.name).info.run_id
            self._tell(run.settings)
        else:
            self.key = key
            client.update_run(key, status="RUNNING")
            self.held = int(client.get_run(key).data.tags.get(_SENT, 0))

    def _tell(self, settings: dict[str, Any]) -> None:
        from mlflow.entities import Param

        told = [Param(name, str(value)[:_LONGEST]) for name, value in settings.items()]
        for start in range(0, len(told), _AT_ONCE):
            self._client.log_batch(self.key, params=told[start : start + _AT_ONCE])

    def send(self, lines: Sequence[Line]) -> None:
        """See :class:`Sink`. A line and the tag that says so are one request."""
        from mlflow.entities import Metric, RunTag

        for step, values in lines:
            now = int(time.time() * 1000)
            metrics = [Metric(name, value, now, step) for name, value in values.items()]
            self._client.log_batch(self.key, metrics=metrics, tags=[RunTag(_SENT, str(step))])

    def close(self, *, finished: bool) -> None:
        """See :class:`Sink`."""
        self._client.set_terminated(self.key, "FINISHED" if finished else "KILLED")


class Trackio:
    """Trackio; ``TRACKIO_PROJECT``, ``TRACKIO_DIR``, ``TRACKIO_SPACE_ID`` as everywhere."""

    settles = 1.0

    def __init__(self, run: Identity, key: str | None) -> None:
        import trackio

        # It finds runs by name, and another run of another folder may have the same.
        self.key = key or f"{run.folder.name}-{uuid.uuid4().hex[:8]}"
        self._run = trackio.init(
            os.environ.get("TRACKIO_PROJECT", PROJECT),
            name=self.key,
            config=run.settings,
            resume="never" if key is None else "allow",
            embed=False,
        )
        # Half a second passes between a line and its file, in which a process may be killed.
        following = getattr(self._run, "_next_step", None)
        self.held = max(0, following - 1) if isinstance(following, int) else None

    def send(self, lines: Sequence[Line]) -> None:
        """See :class:`Sink`."""
        for line in lines:
            self._run.log(line.values, step=line.step)

    def close(self, *, finished: bool) -> None:
        """See :class:`Sink`."""
        self._run.finish()


#: Trackers that lines are sent to, by the name of their module. TensorBoard's events are files of
#: the run and written by its log.
SINKS: dict[str, Callable[[Identity, str | None], Sink]] = {
    "wandb": WandB,
    "mlflow": MLflow,
    "trackio": Trackio,
}


def check_installed(names: Sequence[str] | None) -> None:
    """Refuse trackers that cannot be had here.

    Raises:
        UsageError: names the extra to install.
    """
    for name in names or ():
        if find_spec(name) is None:
            raise missing(name, f"--log-to {name}")
