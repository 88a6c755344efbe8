"""``--profile N``: where the time of some steps goes, by PyTorch's profiler."""

import logging
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from fdsl_gen.core.errors import FdslError
from fdsl_gen.storage import local

logger = logging.getLogger(__name__)

FOLDER = "profile"
_SETTLING = 10  # steps before them: the first ones allocate, compile and wait for data
_LONGEST = 10  # rows of the table


class StepProfiler:
    """Profiles a few steps of a run, after the first ten, or the last of a short one.

    It writes ``trace.json.gz`` (for https://ui.perfetto.dev) and ``longest.txt``, the ten
    operations that take longest, by the time of the GPU where there is one.

    Args:
        folder: of the run.
        steps: those that are left to this process.
        count: how many of them to profile; None: none.
        device: where the run computes.
    """

    def __init__(self, folder: Path, steps: range, count: int | None, device: torch.device) -> None:
        self._folder = folder / FOLDER
        self._device = device
        wanted = min(count or 0, len(steps))
        first = min(steps.start + _SETTLING, steps.stop - wanted)
        self._steps = range(first, first + wanted)
        self._profile: profile | None = None

    def before(self, step: int) -> None:
        """Step ``step`` is about to begin."""
        if step in self._steps and self._profile is None:
            activities = [ProfilerActivity.CPU]
            if self._device.type == "cuda":
                activities.append(ProfilerActivity.CUDA)
            self._profile = profile(activities=activities)
            self._profile.start()

    def after(self, step: int) -> None:
        """Step ``step`` is done.

        Raises:
            FdslError: if the files cannot be written.
        """
        if self._profile is None or step != self._steps[-1]:
            return
        done, self._profile = self._profile, None
        done.stop()
        by = f"self_{self._device.type}_time_total"
        table = done.key_averages().table(sort_by=by, row_limit=_LONGEST, max_name_column_width=50)
        try:
            self._folder.mkdir(exist_ok=True)
            done.export_chrome_trace(str(self._folder / "trace.json.gz"))
            local.write(self._folder / "longest.txt", table.encode())
        except (OSError, RuntimeError) as error:
            raise FdslError(f"cannot write into {self._folder}: {error}") from None
        logger.info(
            f"profiled steps {self._steps[0] + 1} to {step + 1}: {self._folder / 'longest.txt'},"
            " and trace.json.gz beside it for https://ui.perfetto.dev"
        )

    def close(self) -> None:
        """The run ends, perhaps in between."""
        if self._profile is not None:
            self._profile.stop()
            self._profile = None
